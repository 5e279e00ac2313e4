"""What follows a step of a job is sent, all of it, also where the worker whose turn it was died before or meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.videos.heartbeat import take_up
from cloud.videos.job_worker import Videos
from cloud.videos.messages import Message
from tests.cloud.videos.long_videos import taken
from tests.cloud.videos.test_silent_workers import begun, sign

pytestmark = pytest.mark.slow


def test_where_the_last_worker_of_a_stage_died_before_it_sent_what_follows_that_is_sent(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, messages = begun(videos, clip)
    with monkeypatch.context() as patch:
        patch.setattr(videos, "_follow", lambda *_: None)
        for message in messages:
            videos.deliver(message, 1)
    assert taken() == []
    last = messages[-1]
    sign(videos, job, last)
    assert take_up(videos.jobs, videos.queues, job.id, 0.0) == 1
    [again] = taken()
    assert again == last
    videos.deliver(again, 1)
    assert taken() == [Message(job.id, "merge")]


def test_where_a_worker_died_in_the_middle_of_sending_what_follows_all_of_that_is_sent(
    videos: Videos, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where some of it is done by then; who was killed after it had sent all has nothing sent twice."""
    job, messages = begun(videos, clip)
    for message in messages:
        videos.deliver(message, 1)
    [merge] = taken()
    send = videos.queues.send

    def killed(messages: list[Message]) -> None:
        send(messages[:2])
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(videos.queues, "send", killed)
        videos.deliver(merge, 1)
    first, second = taken()
    videos.deliver(first, 1)
    videos.deliver(second, 1)
    assert taken() == []  # who does its part sends nothing: the others may be at theirs
    for missing in (len(messages) - 2, 0):
        sign(videos, job, merge)
        assert take_up(videos.jobs, videos.queues, job.id, 0.0) == 1
        [again] = taken()
        videos.deliver(again, 1)
        sent = taken()
        assert len(sent) == missing and {first.part, second.part}.isdisjoint(message.part for message in sent)
