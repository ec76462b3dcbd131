"""The middle frame of a video, and UCF101's list of test videos."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from s3_jax.data.benchmark_builders import prepare
from s3_jax.data.datasets import DATASETS, official_names
from s3_jax.data.readers.tfds import read
from s3_jax.data.video_frames import middle_frame, read_videos
from tests.video_replicas import write_ucf101, write_video

UCF = DATASETS["ucf101"]


def frame_of(data: bytes) -> tuple[int, Image.Image]:
  """Returns the frame's index, told by its colour, and the picture."""
  with Image.open(io.BytesIO(data)) as image:
    image.load()
  red, green, blue = np.asarray(image).reshape(-1, 3).mean(0)
  index = round((red - 10) / 20)
  assert abs(red - 10 - 20 * index) < 6, "red and blue are not exchanged"
  assert abs(blue - 200 + 20 * index) < 6 and abs(green - 100) < 6
  return index, image


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8])
def test_the_frame_at_half_of_the_number(frames, tmp_path):
  write_video(tmp_path / "v.avi", frames)
  index, image = frame_of(middle_frame(tmp_path / "v.avi"))
  assert index == frames // 2
  assert image.format == "JPEG" and image.size == (64, 48)
  # The first step of quantization tells the quality: 16 at 50, 2 at 95.
  assert image.quantization[0][0] == 2


def test_frames_are_counted_not_believed(tmp_path):
  """A video that is cut off has fewer frames than its header says."""
  path = tmp_path / "v.avi"
  write_video(path, 9)
  data = path.read_bytes()
  index = data.index(b"avih") + 8 + 16  # of the number of frames
  assert int.from_bytes(data[index : index + 4], "little") == 9
  wrong = (90).to_bytes(4, "little")
  path.write_bytes(data[:index] + wrong + data[index + 4 :])
  assert frame_of(middle_frame(path))[0] == 4


@pytest.mark.parametrize("content", [b"", b"not a video", b"RIFF\0\0\0\0AVI "])
def test_no_frame_can_be_decoded(content, tmp_path, capfd):
  (tmp_path / "v.avi").write_bytes(content)
  assert middle_frame(tmp_path / "v.avi") == b""
  capfd.readouterr()  # FFmpeg's own complaints


@pytest.mark.parametrize("lists", ["ucfTrainTestlist", "", "UCF-101"])
def test_videos_are_opened_in_the_order_of_their_list(lists, tmp_path):
  write_ucf101(tmp_path, lists=lists)
  opened = read_videos(UCF, tmp_path)
  assert opened is not None and opened.layout == "videos"
  assert "middle frames of 3 videos, made here" in opened.found
  names = official_names(UCF)
  labels = [opened.records[i]["label"] for i in range(3)]
  assert [names[label] for label in labels] == [
    "Yo_Yo",
    "Handstand_Pushups",
    "Yo_Yo",
  ]
  assert list(opened.files)[1].endswith("v_HandStandPushups_g01_c01.avi")
  frames = [frame_of(opened.records[i]["image"])[0] for i in range(3)]
  assert frames == [1, 2, 2]
  # Another decoder makes other frames of the same files.
  assert opened.stamps().location.startswith(f"{tmp_path}")
  assert f"OpenCV {cv2.__version__}, 95" in opened.stamps().location


def test_every_class_s_folder_is_found(tmp_path):
  write_ucf101(tmp_path)
  folders = [name.replace("_", "") for name in official_names(UCF)]
  lines = [f"{folder}/v_{folder}_g01_c01.avi" for folder in folders]
  file = tmp_path / "ucf101" / "ucfTrainTestlist" / "testlist01.txt"
  file.write_text("\n".join(lines))
  opened = read_videos(UCF, tmp_path)
  assert opened is not None and "101 videos" in opened.found
  assert opened.records.labels == list(range(101))


def test_the_frames_are_prepared(tmp_path, capfd):
  write_ucf101(tmp_path)
  broken = tmp_path / "ucf101/UCF-101/YoYo/v_YoYo_g02_c01.avi"
  broken.write_bytes(b"not a video")
  opened = read_videos(UCF, tmp_path)
  assert opened is not None
  rule = "and 1 hold none: YoYo/v_YoYo_g02_c01.avi"
  with pytest.raises(ValueError, match=rule):
    prepare(UCF, opened, tmp_path)
  prepared = prepare(UCF, opened, tmp_path, allow_empty=True)
  assert prepared.empty == ("YoYo/v_YoYo_g02_c01.avi",)
  again = read(UCF, tmp_path)
  assert again is not None and "3 videos, made here" in again.found
  assert [len(again.records[i]["image"]) > 0 for i in range(3)] == [
    True,
    True,
    False,
  ]
  assert frame_of(again.records[1]["image"])[0] == 2
  capfd.readouterr()  # FFmpeg's own complaints


def test_an_absent_video_cannot_be_read(tmp_path):
  write_ucf101(tmp_path)
  (tmp_path / "ucf101/UCF-101/YoYo/v_YoYo_g02_c01.avi").unlink()
  opened = read_videos(UCF, tmp_path)
  assert opened is not None and "1 file listed, but absent" in opened.found
  with pytest.raises(ValueError, match="and 1 cannot: YoYo/v_YoYo_g02_c01.avi"):
    prepare(UCF, opened, tmp_path, allow_empty=True)


def test_no_videos(tmp_path):
  assert read_videos(UCF, tmp_path) is None
  (tmp_path / "ucf101" / "UCF-101-midframes").mkdir(parents=True)
  assert read_videos(UCF, tmp_path) is None
  assert read_videos(DATASETS["dtd"], tmp_path) is None


def test_no_list(tmp_path):
  (tmp_path / "ucf101" / "UCF-101").mkdir(parents=True)
  rule = "must have the list of its test videos near it, and none of .*testlis"
  with pytest.raises(ValueError, match=rule):
    read_videos(UCF, tmp_path)


@pytest.mark.parametrize(
  ("line", "rule"),
  [
    ("Sleeping/v.avi", "line 1 must name a class of UCF101, got 'Sleeping'"),
    ("/etc/v.avi", "line 1: a path must stay inside"),
    ("../YoYo/v.avi", "line 1: a path must stay inside"),
  ],
)
def test_lines_have_rules(line, rule, tmp_path):
  write_ucf101(tmp_path)
  file = tmp_path / "ucf101" / "ucfTrainTestlist" / "testlist01.txt"
  file.write_text(line)
  with pytest.raises(ValueError, match=rule):
    read_videos(UCF, tmp_path)
