"""Tiny videos in the folders of UCF101, whose frames tell their places."""

import pathlib

import cv2
import numpy as np


def write_video(path: pathlib.Path, frames: int) -> None:
  """Frame i is of the colour (10 + 20 i, 100, 200 - 20 i)."""
  path.parent.mkdir(parents=True, exist_ok=True)
  code = cv2.VideoWriter.fourcc(*"MJPG")
  writer = cv2.VideoWriter(str(path), code, 25, (64, 48))
  for i in range(frames):
    color = (200 - 20 * i, 100, 10 + 20 * i)  # OpenCV's order: blue first
    writer.write(np.full((48, 64, 3), color, np.uint8))
  writer.release()


def write_ucf101(
  data_dir: pathlib.Path, *, lists: str = "ucfTrainTestlist"
) -> None:
  """Three test videos of two classes; their order is not that of the labels.

  Args:
    data_dir: the folder that holds the data sets.
    lists: folder of the list, under the data set's.
  """
  root = data_dir / "ucf101"
  lines = [
    "YoYo/v_YoYo_g01_c01.avi",
    "HandstandPushups/v_HandStandPushups_g01_c01.avi",
    "YoYo/v_YoYo_g02_c01.avi",
  ]
  for frames, line in enumerate(lines, 3):
    write_video(root / "UCF-101" / line, frames)
  file = root / lists / "testlist01.txt"
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_bytes("\r\n".join(lines).encode() + b"\r\n")
