"""
Whose turn it is to send.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.pipe import BATCH, Driver, Remote, User
from twisted_mux.config import MuxConfig
from twisted_mux.engine.scheduler import BUSY, IDLE, SPARSE
from twisted_mux.wire.base import Role

QUANTUM = 1000


class Carrier:
    """
    A session whose output is taken bit by bit, and looked at frame by frame.
    """

    def __init__(self, wire: str = "smux1") -> None:
        config = MuxConfig(maxFrame=QUANTUM)
        self.driver = Driver(wire, Role.CLIENT, config)
        self.remote = Remote(self.driver)
        self.session = self.driver.session

    def open(self, count: int) -> list[User]:
        """
        Streams whose opens have been sent.
        """
        users = [self.driver.open() for _ in range(count)]
        self.driver.sent()
        return users

    def take(self, room: int = 1) -> list[tuple[object, int]]:
        """
        Take what fits: of each frame the key, and how long its payload is; 0 is
        an end.
        """
        pieces = self.session.takeOutput(room)
        self.session.settle()
        frames: list[tuple[object, int]] = []
        for call in self.remote.heard(b"".join(pieces)):
            if call[0] == "payloadReceived":
                size = len(call[2])
                frames += [
                    (call[1], min(QUANTUM, size - start))
                    for start in range(0, size, QUANTUM)
                ]
            else:
                assert call[0] == "endReceived"
                frames.append((call[1], 0))
        return frames

    def takeAll(self) -> list[tuple[object, int]]:
        """
        Take all there is, frame by frame.
        """
        frames = []
        while self.session.hasOutput():
            frames += self.take()
        return frames


def keysOf(users: list[User]) -> list[object]:
    return [user.stream.key for user in users]


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


def test_inTurns(carrier: Carrier) -> None:
    """
    Streams with much to send take turns of a quantum.
    """
    users = carrier.open(3)
    keys = keysOf(users)
    for user in users:
        user.stream.write(bytes(3 * QUANTUM))
    frames = carrier.takeAll()
    assert frames == [(key, QUANTUM) for _ in range(3) for key in keys]


def test_sparseFirst(carrier: Carrier) -> None:
    """
    A stream that was idle goes before all that have been sending.
    """
    *busy, sparse = carrier.open(11)
    for user in busy:
        user.stream.write(bytes(100 * QUANTUM))
    for _ in range(25):
        [(key, length)] = carrier.take()
        assert length == QUANTUM
        assert key != sparse.stream.key
    sparse.stream.write(b"x" * 64)
    assert carrier.take() == [(sparse.stream.key, 64)]


def test_oneQuantumOfEachOther(carrier: Carrier) -> None:
    """
    At most one quantum of every other stream that is busy all the time is sent
    before what a stream has just written, even if it has been sending, too.
    """
    *busy, writer = carrier.open(11)
    for user in busy:
        user.stream.write(bytes(1000 * QUANTUM))
    for _ in range(50):
        writer.stream.write(b"x" * 64)
        before: Counter[object] = Counter()
        for _ in range(100):
            [(key, length)] = carrier.take()
            if key == writer.stream.key:
                assert length == 64
                break
            before[key] += length
        else:
            pytest.fail("it starves")
        assert all(size <= QUANTUM for size in before.values())


def test_beyondAQuantumItIsBusy(carrier: Carrier) -> None:
    """
    What a sparse stream has beyond a quantum waits for its turn.
    """
    *busy, sparse = carrier.open(3)
    for user in busy:
        user.stream.write(bytes(5 * QUANTUM))
    carrier.take()
    carrier.take()
    sparse.stream.write(bytes(QUANTUM + 1))
    order = [carrier.take()[0] for _ in range(4)]
    key = sparse.stream.key
    assert order == [
        (key, QUANTUM),
        (busy[0].stream.key, QUANTUM),
        (busy[1].stream.key, QUANTUM),
        (key, 1),
    ]


def test_smallWritersDontStarveTheBusy(carrier: Carrier) -> None:
    """
    Many streams with a small write every now and then get at most one quantum
    each ahead of the others, so that those go on.
    """
    busy, *writers = carrier.open(21)
    busy.stream.write(bytes(1000 * QUANTUM))
    sent: Counter[object] = Counter()
    for _ in range(2000):
        for user in writers:
            if not user.stream.buffered:
                user.stream.write(b"x" * 500)
        [(key, _)] = carrier.take()
        sent[key] += 1
    shares = [sent[user.stream.key] for user in [busy, *writers]]
    # In each round everybody has one turn, or two if it became idle.
    assert shares[0] >= 2000 // (2 * len(writers) + 1)
    assert max(shares) - min(shares) <= max(shares) // 2 + 2


def test_idleAgain(carrier: Carrier) -> None:
    """
    A stream that has sent all it had is idle; if others are busy it keeps a place
    in the ring for a round.
    """
    first, second = carrier.open(2)
    busy = carrier.session.scheduler.busy
    first.stream.write(b"x")
    carrier.take()
    assert first.stream.turn == IDLE
    assert not busy
    second.stream.write(bytes(3 * QUANTUM))
    assert second.stream.turn == SPARSE
    carrier.take()
    assert second.stream.turn == BUSY
    first.stream.write(b"x")
    carrier.take()
    assert first.stream.turn == IDLE
    assert list(busy) == [second.stream, first.stream]
    assert first.stream.ahead == 1
    carrier.take()
    carrier.take()
    assert first.stream.ahead == 0
    assert not carrier.session.hasOutput()


def test_aheadAgainAndAgain(carrier: Carrier) -> None:
    """
    A stream with small writes goes ahead of the others each time, until it has
    sent a quantum in that way; then it waits for its turn, and is a busy one for
    that round.
    """
    *busy, small = carrier.open(11)
    for user in busy:
        user.stream.write(bytes(100 * QUANTUM))
    for _ in busy:
        carrier.take()
    for _ in range(4):
        small.stream.write(bytes(QUANTUM // 4))
        assert carrier.take() == [(small.stream.key, QUANTUM // 4)]
    small.stream.write(b"x")
    assert carrier.takeAll()[:11] == [
        *[(user.stream.key, QUANTUM) for user in busy],
        (small.stream.key, 1),
    ]


def test_aheadOncePerRound(carrier: Carrier) -> None:
    """
    When its turn in the ring has come a stream may go ahead with a quantum again.
    """
    busy, small = carrier.open(2)
    busy.stream.write(bytes(100 * QUANTUM))
    carrier.take()
    for _ in range(5):
        small.stream.write(bytes(QUANTUM))
        assert carrier.take() == [(small.stream.key, QUANTUM)]
        assert carrier.take() == [(busy.stream.key, QUANTUM)]
        # Its turn, with nothing to send.
        assert carrier.take() == [(busy.stream.key, QUANTUM)]


def test_muchAfterALittle(carrier: Carrier) -> None:
    """
    A stream that went ahead with a little and has much more then waits for its
    turn with all of that.
    """
    *busy, other = carrier.open(3)
    for user in busy:
        user.stream.write(bytes(100 * QUANTUM))
    carrier.take()
    carrier.take()
    other.stream.write(b"x")
    assert carrier.take() == [(other.stream.key, 1)]
    other.stream.write(bytes(2 * QUANTUM))
    first, second = keysOf(busy)
    assert [carrier.take()[0] for _ in range(6)] == [
        (first, QUANTUM),
        (second, QUANTUM),
        (other.stream.key, QUANTUM),
        (first, QUANTUM),
        (second, QUANTUM),
        (other.stream.key, QUANTUM),
    ]


def test_aheadWithoutCredit() -> None:
    """
    A stream that lacks credit after it went ahead is in the ring once when it gets
    some, and only its end, which needs none, goes ahead.
    """
    carrier = Carrier("yamux")
    busy, other, ended = carrier.open(3)
    busy.stream.write(bytes(10 * QUANTUM))
    carrier.take()
    other.stream.permit(150)
    for user in (other, ended):
        user.stream.write(bytes(100))
        assert carrier.take() == [(user.stream.key, 100)]
    other.stream.write(bytes(100))
    assert carrier.take() == [(other.stream.key, 50)]
    assert other.stream.ahead == 150
    ended.stream.endWriting()
    assert carrier.take() == [(ended.stream.key, 0)]
    carrier.driver.session.receive(carrier.remote.credit(other.stream.key, 10_000), 0)
    ring = list(carrier.session.scheduler.busy)
    assert ring == [busy.stream, other.stream, ended.stream]
    assert [carrier.take()[0] for _ in range(3)] == [
        (busy.stream.key, QUANTUM),
        (other.stream.key, 50),
        (busy.stream.key, QUANTUM),
    ]
    assert ended.events == [("written",)]


def test_manyRoundsAtOnce(carrier: Carrier) -> None:
    """
    Streams that send in bulk stay busy when all of them come to the end of their
    buffers at once, so that small messages still go ahead of them.
    """
    *busy, small = carrier.open(3)
    for user in busy:
        stream = user.stream
        stream.wantsEmpty = True
        user.hooks["emptied"] = lambda stream=stream: stream.write(bytes(QUANTUM + 1))
        stream.write(bytes(QUANTUM + 1))
    session = carrier.session
    for _ in range(3):
        pieces = session.takeOutput(100 * QUANTUM)
        assert sum(map(len, pieces)) < 3 * QUANTUM
        session.settle()
    small.stream.write(b"x")
    assert carrier.take() == [(small.stream.key, 1)]


def test_overtook(carrier: Carrier) -> None:
    """
    It is known when small messages have gone before bulk data.
    """
    session = carrier.session
    busy, other = carrier.open(2)
    other.stream.write(b"x")
    carrier.take()
    assert not session.overtook()
    busy.stream.write(bytes(100_000))
    carrier.take()
    assert not session.overtook()
    other.stream.write(b"x")
    carrier.take()
    assert session.overtook()
    assert not session.overtook()


def test_bulkOvertakesNobody() -> None:
    """
    Streams that had to wait for credit while their buffers were empty are idle,
    and yet they send in bulk, like others.
    """
    carrier = Carrier("yamux")
    busy, blocked = carrier.open(2)
    busy.stream.write(bytes(100_000))
    carrier.take()
    blocked.stream.write(bytes(64 * 1024))
    assert carrier.take() == [(blocked.stream.key, QUANTUM)]
    assert not carrier.session.overtook()


def test_withoutCreditItLeavesTheQueue() -> None:
    """
    A stream without credit is in no queue, and comes back when it gets some.
    """
    carrier = Carrier("yamux")
    blocked, other = carrier.open(2)
    blocked.stream.permit(1500)
    blocked.stream.write(bytes(5000))
    assert carrier.takeAll() == [
        (blocked.stream.key, QUANTUM),
        (blocked.stream.key, 500),
    ]
    assert blocked.stream.turn == IDLE
    assert not carrier.session.hasOutput()
    blocked.stream.write(b"more")
    blocked.stream.endWriting()
    assert not carrier.session.hasOutput()
    other.stream.write(b"other")
    assert carrier.takeAll() == [(other.stream.key, 5)]
    carrier.driver.session.receive(carrier.remote.credit(blocked.stream.key, 10_000), 0)
    assert blocked.stream.turn == BUSY
    assert carrier.takeAll() == [
        *([(blocked.stream.key, QUANTUM)] * 3),
        (blocked.stream.key, 504),
        (blocked.stream.key, 0),
    ]


def test_creditForNothing() -> None:
    """
    A stream that has nothing to send is in no queue after it got credit.
    """
    carrier = Carrier("yamux")
    [user] = carrier.open(1)
    carrier.driver.session.receive(carrier.remote.credit(user.stream.key, 10_000), 0)
    assert user.stream.turn == IDLE
    assert not carrier.session.hasOutput()


def test_newWritersAfterCredit() -> None:
    """
    A stream that waited for credit is no sparse one: others go first.
    """
    carrier = Carrier("yamux")
    blocked, sparse = carrier.open(2)
    blocked.stream.permit(0)
    blocked.stream.write(bytes(5000))
    carrier.takeAll()
    carrier.driver.session.receive(carrier.remote.credit(blocked.stream.key, 10_000), 0)
    sparse.stream.write(b"x")
    assert carrier.take() == [(sparse.stream.key, 1)]


def test_endsInTurn(carrier: Carrier) -> None:
    """
    An end comes right behind the last of the data, or in the stream's turn if
    there is none.
    """
    first, second = carrier.open(2)
    first.stream.write(bytes(QUANTUM + 1))
    first.stream.endWriting()
    second.stream.endWriting()
    assert carrier.takeAll() == [
        (first.stream.key, QUANTUM),
        (second.stream.key, 0),
        (first.stream.key, 1),
        (first.stream.key, 0),
    ]
    assert first.events == second.events == [("written",)]


def test_emptied(carrier: Carrier) -> None:
    """
    A stream is told when all that it had has been taken, if it wanted to know;
    one at a time, each after what the one before it has done.
    """
    users = carrier.open(3)
    for user in users[:2]:
        user.stream.wantsEmpty = True
    users[0].hooks["emptied"] = lambda: users[1].stream.write(b"again")
    for user in users:
        user.stream.write(b"once")
    carrier.session.takeOutput(BATCH)
    carrier.session.settle()
    assert users[0].events == [("emptied",)]
    # It is not empty any more.
    assert users[1].events == []
    carrier.session.takeOutput(BATCH)
    carrier.session.settle()
    assert users[1].events == [("emptied",)]
    assert users[2].events == []
    carrier.session.settle()
    assert users[1].events == [("emptied",)]


def test_notToldWhenItHasGone(carrier: Carrier) -> None:
    """
    Between the taking and the telling a stream may be left.
    """
    users = carrier.open(2)
    for user in users:
        user.stream.wantsEmpty = True
        user.stream.write(b"x")
    users[0].hooks["emptied"] = users[1].leave
    carrier.session.takeOutput(BATCH)
    carrier.session.settle()
    assert users[1].events == []


def test_aResetStreamIsSkipped() -> None:
    """
    What a stream had is gone with it, wherever it was queued.
    """
    carrier = Carrier("yamux")
    users = carrier.open(3)
    for user in users:
        user.stream.write(bytes(3 * QUANTUM))
    carrier.take()
    users[0].reset()
    users[1].reset()
    assert carrier.session.hasOutput()
    carrier.driver.sent()
    assert users[0].stream.turn == users[1].stream.turn == IDLE
    assert users[2].stream.bytesSent == 3 * QUANTUM
    assert not carrier.session.hasOutput()


def test_room(carrier: Carrier) -> None:
    """
    About as much is taken as there is room: a frame more at most.
    """
    users = carrier.open(5)
    for user in users:
        user.stream.write(bytes(20 * QUANTUM))
    for room in (1, QUANTUM, 5 * QUANTUM, 7 * QUANTUM + 1):
        size = sum(map(len, carrier.session.takeOutput(room)))
        assert room <= size < room + QUANTUM + 20
    assert carrier.session.takeOutput(0) == []
    assert carrier.session.takeOutput(-1) == []


writers = st.integers(0, 4)


@given(
    st.lists(
        st.one_of(
            st.tuples(writers, st.integers(1, 3 * QUANTUM)),
            st.tuples(writers, st.just(0)),
            st.none(),
        ),
        max_size=120,
    )
)
def test_nobodyWaitsLong(steps: list[tuple[int, int] | None]) -> None:
    """
    Whoever writes what and when: a stream that has something to send is sent
    after at most a quantum of each other stream in its turn, and one that it sent
    ahead, and all goes out in the end.
    """
    carrier = Carrier()
    users = carrier.open(5)
    waiting: dict[object, Counter[object]] = {}
    written: Counter[object] = Counter()
    taken: Counter[object] = Counter()
    for step in [*steps, *([None] * 200)]:
        if step is not None:
            stream = users[step[0]].stream
            if step[1] and not stream.ending and stream.writable:
                stream.write(bytes(step[1]))
                written[stream.key] += step[1]
                waiting.setdefault(stream.key, Counter())
            elif not step[1]:
                stream.endWriting()
            continue
        for key, length in carrier.take():
            taken[key] += length
            waiting.pop(key, None)
            for counter in waiting.values():
                counter[key] += length
                assert counter[key] <= 2 * QUANTUM
            if written[key] > taken[key]:
                waiting[key] = Counter()
    assert not carrier.session.hasOutput()
    assert taken == written
    assert all(user.stream.turn == IDLE for user in users)
