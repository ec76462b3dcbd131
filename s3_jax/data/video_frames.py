"""The middle frames of UCF101's videos, where its frames are not at hand.

CoOp distributes one frame a video, made by its authors; nobody has published
how. The frames made here are ours: for numbers to compare with published ones,
take CoOp's where you can.
"""

import pathlib
import stat
from collections.abc import Sequence
from typing import Any

from s3_jax.data.decoding import UnreadImage
from s3_jax.data.readers.listing import (
  ListedImage,
  count_words,
  inside,
  open_files,
)
from s3_jax.data.readers.naming import benchmark_finder
from s3_jax.data.records import OpenedDataset, Stamps
from s3_jax.data.specs import DatasetSpec
from s3_jax.extras import require
from s3_jax.lexicon.documents import read_text, split_lines

VIDEOS = "UCF-101"  # the folder in the authors' archive
FRAMES = "UCF-101-midframes"  # the folder in CoOp's
TEST_LIST = "testlist01.txt"
QUALITY = 95  # of the JPEG


class VideoFrames:
  """Records whose images are frames, decoded when they are asked for.

  Attributes:
    labels: in the order of the records.
  """

  def __init__(
    self, root: pathlib.Path, files: Sequence[str], labels: Sequence[int]
  ):
    self._root = root
    self._files = files
    self.labels = labels

  def __len__(self) -> int:
    return len(self._files)

  def __getitem__(self, index: int) -> dict[str, Any]:
    path = self._root / self._files[index]
    # An absent video is an error, a damaged one an empty image. What is no
    # file would keep the decoder waiting; a long video is as good as a short.
    if not stat.S_ISREG(path.stat().st_mode):
      raise UnreadImage("no regular file")
    return {"image": middle_frame(path), "label": self.labels[index]}


def middle_frame(path: pathlib.Path) -> bytes:
  """Decodes the frame in the middle of a video and encodes it as JPEG.

  Frames are counted by decoding them: what a file's header says of their
  number is often wrong.

  References:
    Ours; CoOp's DATASETS.md says "middle frame" and no more.
  """
  import cv2

  count = 0
  video = cv2.VideoCapture(str(path))
  while video.grab():
    count += 1
  video.release()
  video = cv2.VideoCapture(str(path))
  for _ in range(count // 2):
    video.grab()
  decoded, frame = video.read()
  video.release()
  if not decoded:
    return b""
  options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
  encoded, data = cv2.imencode(".jpg", frame, options)
  return data.tobytes() if encoded else b""


def read_videos(
  spec: DatasetSpec, data_dir: pathlib.Path
) -> OpenedDataset | None:
  """Opens the test videos of UCF101 as a data set of their middle frames."""
  if spec.name != "ucf101":
    return None
  for name in spec.folders:
    root = data_dir / name / VIDEOS
    if root.is_dir():
      return _read_list(spec, root)
  return None


def _read_list(spec: DatasetSpec, root: pathlib.Path) -> OpenedDataset:
  require("segmentation", "cv2", by=f"The folder of videos {root}")
  folders = [root.parent / "ucfTrainTestlist", root.parent, root]
  files = [folder / TEST_LIST for folder in folders]
  file = next((each for each in files if each.is_file()), None)
  if file is None:
    raise ValueError(
      f"{root} must have the list of its test videos near it, and none of"
      f" {', '.join(map(str, files))} is there: get UCF101TrainTestSplits."
    )
  finder = benchmark_finder(spec)
  images = []
  for number, line in enumerate(split_lines(read_text(file)), 1):
    where = f"{file}, line {number}"
    if line.strip():
      video = inside(line.strip(), where)
      label = finder.label(video.split("/")[0], where)
      images.append(ListedImage(video, label))
  found = (
    f"{file} and {root}: middle frames of {count_words(len(images), 'video')},"
    " made here"
  )
  opened = open_files(root, images, layout="videos", found=found)
  labels = [image.label for image in images]
  return opened._replace(
    records=VideoFrames(root, opened.files, labels),
    stamps=lambda: _stamp_frames(opened),
  )


def _stamp_frames(opened: OpenedDataset) -> Stamps:
  """Stamps frames by their video and by what decodes it."""
  import cv2

  assert opened.stamps is not None
  stamps = opened.stamps()
  location = f"{stamps.location}, OpenCV {cv2.__version__}, {QUALITY}"
  return stamps._replace(location=location)
