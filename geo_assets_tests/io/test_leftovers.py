"""What killed processes leave is removed, what living ones are writing is not."""

import os
import subprocess
import sys
import time

from geo_assets.io.stores.leftovers import ABANDONED_AFTER_S, is_abandoned, sweep_folder, temporary_name


def test_a_living_process_keeps_its_files_however_old(tmp_path):
    mine = tmp_path / temporary_name()
    mine.write_bytes(b"")
    os.utime(mine, (0, 0))
    assert not is_abandoned(mine)


def test_a_dead_process_on_this_machine_has_abandoned_them_at_once(tmp_path):
    script = "from geo_assets.io.stores.leftovers import temporary_name; print(temporary_name())"
    name = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "deep" / name).mkdir(parents=True)
    (tmp_path / "deep" / name / "half.tif").write_bytes(b"half")
    (tmp_path / "deep" / "whole.tif").write_bytes(b"whole")
    assert is_abandoned(tmp_path / "deep" / name)
    sweep_folder(tmp_path)
    assert os.listdir(tmp_path / "deep") == ["whole.tif"]


def test_another_machines_files_are_abandoned_after_a_day(tmp_path):
    theirs = tmp_path / ".tmp-1-0123456789-00"
    theirs.write_bytes(b"")
    assert not is_abandoned(theirs)
    os.utime(theirs, (time.time() - ABANDONED_AFTER_S - 60,) * 2)
    assert is_abandoned(theirs)


def test_a_file_that_vanishes_meanwhile_is_no_concern(tmp_path):
    assert not is_abandoned(tmp_path / ".tmp-1-0123456789-00")
    sweep_folder(tmp_path / "nowhere")
