//! The group-commit queue under real threads. It runs with the spinning locks (no features) and
//! with those of `std`. Every test ends within a time limit, because its failure is often a hang.
#![cfg(not(loom))]

use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::queue::{
    Answer, Fault, Group, GroupQueue, Limits, Slot, SubmitError, Ticket, TrySubmitError, WaitError, Work,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

type Error = &'static str;
type Slots<T> = Box<[Slot<T, u64, Error>]>;
type Queue<T = u64> = GroupQueue<T, u64, Error, Slots<T>>;
type Writes<'q, T = u64> = Group<'q, T, u64, Error, Slots<T>>;

fn queue<T>(slots: usize, limits: Limits) -> Queue<T> {
    GroupQueue::new((0..slots).map(|_| Slot::new()).collect(), limits)
}

fn roomy<T>() -> Queue<T> {
    queue(64, Limits::default())
}

/// A leader that answers every item with itself.
fn echo(group: &mut Writes<'_>) {
    while let Some((member, item)) = group.take() {
        group.complete(member, Ok(item));
    }
}

/// A leader that must not be needed.
fn nobody(_: &mut Writes<'_>) {
    panic!("another leader was expected");
}

fn submit(queue: &Queue, item: u64, durability: Durability) -> Ticket {
    queue.submit(item, durability).expect("the queue is open")
}

/// Runs a test in a thread, so that one that hangs fails instead, after `BLOCKYARD_PATIENCE` seconds.
fn within_time(test: impl FnOnce() + Send + 'static) {
    let patience = std::env::var("BLOCKYARD_PATIENCE").ok().and_then(|seconds| seconds.parse().ok());
    let (done, finished) = mpsc::channel();
    let body = thread::spawn(move || {
        test();
        done.send(()).expect("the test waits");
    });
    match finished.recv_timeout(Duration::from_secs(patience.unwrap_or(30))) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("somebody hangs"),
        _ => body.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

fn eventually(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// What the field calls a waker: it unparks the thread that blocks on a task.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn run_flusher(queue: &Queue, mut lead: impl FnMut(&mut Writes<'_>)) {
    while queue.wait_for_work() == Work::Pending {
        queue.lead_pending(&mut lead);
    }
}

/// Every slot can be used again.
fn assert_no_slot_is_lost(queue: &Queue, slots: usize) {
    let tickets: Vec<_> =
        (0..slots as u64).map(|item| queue.try_submit(item, Buffered).expect("a free slot")).collect();
    assert_eq!(queue.pending(), slots);
    for (item, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(queue.wait(ticket, echo), Ok(item as u64));
    }
}

/// A device that keeps what was written and knows what was synced, and notices two writers.
#[derive(Default)]
struct Disk {
    busy: AtomicBool,
    written: Mutex<Vec<u64>>,
    durable: AtomicUsize,
    groups: AtomicUsize,
}

impl Disk {
    /// Writes a group; replies with the position of each item.
    fn lead(&self, group: &mut Writes<'_>) {
        assert!(!self.busy.swap(true, SeqCst), "two groups in flight");
        let mut written = self.written.lock().expect("no writer panicked");
        while let Some((member, item)) = group.take() {
            group.complete(member, Ok(written.len() as u64));
            written.push(item);
        }
        if group.durability() == Durable {
            thread::yield_now();
            self.durable.store(written.len(), SeqCst);
        }
        self.groups.fetch_add(1, SeqCst);
        drop(written);
        self.busy.store(false, SeqCst);
    }

    fn assert_kept(&self, item: u64, position: u64, durability: Durability) {
        assert_eq!(self.written.lock().expect("no writer panicked")[position as usize], item);
        assert!(durability == Buffered || self.durable.load(SeqCst) > position as usize);
    }
}

#[test]
fn a_lone_caller_leads_itself() {
    let queue = roomy();
    let ticket = submit(&queue, 7, Durable);
    assert_eq!(queue.pending(), 1);
    assert_eq!(queue.wait(ticket, echo), Ok(7));
    assert_eq!(queue.pending(), 0);
    assert!(!queue.lead_pending(nobody));
    assert!(!queue.is_drained());
}

#[test]
fn slots_may_be_an_array() {
    let queue = GroupQueue::<u8, u8, Error, _>::new([const { Slot::new() }; 2], Limits::default());
    let ticket = queue.submit(1, Buffered).expect("the queue is open");
    let answer = queue.wait(ticket, |group| {
        let (member, item) = group.take().expect("an item was queued");
        group.complete(member, Ok(item + 1));
    });
    assert_eq!(answer, Ok(2));
}

#[test]
fn many_submitters_share_groups_and_keep_their_order() {
    within_time(|| {
        const THREADS: usize = 8;
        const ITEMS: usize = 500;
        let queue: Queue = queue(16, Limits { pending: 1000, group: 5 });
        let disk = Disk::default();
        let next = Mutex::new(0);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (queue, disk, next) = (&queue, &disk, &next);
                scope.spawn(move || {
                    for turn in 0..ITEMS {
                        let durability = if (thread + turn) % 3 == 0 { Durable } else { Buffered };
                        let (item, ticket) = {
                            let mut next = next.lock().expect("no submitter panicked");
                            *next += 1;
                            (*next, submit(queue, *next, durability))
                        };
                        let position = queue.wait(ticket, |group| disk.lead(group)).expect("written");
                        disk.assert_kept(item, position, durability);
                    }
                });
            }
        });
        let written = disk.written.into_inner().expect("no writer panicked");
        assert!(written.iter().copied().eq(1..=(THREADS * ITEMS) as u64));
        assert!(disk.groups.load(SeqCst) >= written.len() / 5);
        assert_no_slot_is_lost(&queue, 16);
    });
}

#[test]
fn who_arrives_during_a_flush_joins_the_next_group() {
    let queue = roomy();
    let first = submit(&queue, 1, Buffered);
    let mut late = None;
    let answer = queue.wait(first, |group| {
        let (member, item) = group.take().expect("an item was queued");
        late = Some(submit(&queue, 2, Durable));
        assert!(group.take().is_none());
        assert_eq!(group.durability(), Buffered);
        assert!(!queue.lead_pending(nobody), "two groups in flight");
        group.complete(member, Ok(item));
    });
    assert_eq!(answer, Ok(1));
    let late = late.expect("a second item was submitted");
    assert_eq!(queue.try_take(&late), None);
    assert!(queue.lead_pending(|group| {
        assert_eq!((group.remaining(), group.durability()), (1, Durable));
        echo(group);
    }));
    assert_eq!(queue.try_take(&late), Some(Ok(2)));
}

#[test]
fn a_leader_gathers_until_it_takes() {
    let queue = queue(8, Limits { pending: 8, group: 3 });
    submit_and_forget(&queue);
    queue.lead_pending(|group| {
        assert_eq!((group.remaining(), group.durability()), (1, Buffered));
        queue.abandon(&submit(&queue, 1, Durable));
        assert_eq!((group.remaining(), group.durability()), (1, Buffered));
        assert_eq!((group.gather(), group.durability()), (2, Durable));
        assert_eq!(group.remaining(), 2);
        (2..6).for_each(|item| queue.abandon(&submit(&queue, item, Buffered)));
        assert_eq!(group.gather(), 3, "a group has a limit");
        let (member, item) = group.take().expect("an item was queued");
        group.complete(member, Ok(item));
        assert_eq!((group.gather(), group.durability()), (2, Durable));
        echo(group);
    });
    assert_eq!(queue.pending(), 3);
    queue.lead_pending(|group| {
        group.poison("EIO");
        assert_eq!(group.gather(), 0);
    });
    assert_eq!(queue.pending(), 0);
}

#[cfg(feature = "std")]
#[test]
fn a_leader_that_waits_for_company_is_woken_when_it_is_complete() {
    let queue = queue(8, Limits { pending: 8, group: 3 });
    submit_and_forget(&queue);
    queue.lead_pending(|group| {
        let begun = std::time::Instant::now();
        assert_eq!(group.gather_for(2, Duration::from_millis(20)), 1, "nobody comes");
        assert!(begun.elapsed() >= Duration::from_millis(20));
        std::thread::scope(|scope| {
            let others = scope.spawn(|| {
                (1..3).for_each(|item| queue.abandon(&submit(&queue, item, Durable)));
            });
            // A test that waits for an hour has failed.
            let have = group.gather_for(usize::MAX, Duration::from_secs(3600));
            assert_eq!((have, group.durability()), (3, Durable), "a group has a limit");
            others.join().expect("they came");
        });
        assert_eq!(group.gather_for(3, Duration::from_secs(3600)), 3, "they are there");
        let (member, item) = group.take().expect("an item was queued");
        group.complete(member, Ok(item));
        assert_eq!(group.gather_for(3, Duration::from_secs(3600)), 2, "nobody joins any more");
        echo(group);
    });
    assert_eq!(queue.pending(), 0);
}

/// Turso #9237: a leader with sync off acknowledged a follower that had asked for a full one.
#[test]
fn the_strictest_durability_of_the_group_wins() {
    let queue = roomy();
    let tickets = [Buffered, Durable, Buffered].map(|durability| submit(&queue, 0, durability));
    queue.lead_pending(|group| {
        assert_eq!(group.durability(), Durable, "known before the first item is taken");
        echo(group);
        assert_eq!(group.durability(), Durable);
    });
    assert_eq!(tickets.map(|ticket| queue.try_take(&ticket)), [const { Some(Ok(0)) }; 3]);
    submit_and_forget(&queue);
    queue.lead_pending(|group| {
        assert_eq!(group.durability(), Buffered);
        echo(group);
    });
}

fn submit_and_forget(queue: &Queue) {
    queue.abandon(&submit(queue, 0, Buffered));
}

#[test]
fn no_outcome_is_visible_before_the_group_ends() {
    let queue = roomy();
    let ticket = submit(&queue, 1, Durable);
    queue.lead_pending(|group| {
        let (member, item) = group.take().expect("an item was queued");
        group.complete(member, Ok(item));
        assert_eq!(queue.try_take(&ticket), None);
        assert_eq!(queue.pending(), 1);
    });
    assert_eq!(queue.try_take(&ticket), Some(Ok(1)));
}

#[test]
fn an_error_of_one_item_reaches_that_item_alone() {
    let queue = roomy();
    let tickets = [1, 2, 3].map(|item| submit(&queue, item, Buffered));
    queue.lead_pending(|group| {
        while let Some((member, item)) = group.take() {
            group.complete(member, if item == 2 { Err("no such block") } else { Ok(item) });
        }
    });
    let answers = tickets.map(|ticket| queue.wait(ticket, nobody));
    assert_eq!(answers, [Ok(1), Err(WaitError::Item("no such block")), Ok(3)]);
    assert_eq!(queue.fault(), None);
}

#[test]
fn a_leader_that_bounds_its_group_leaves_the_rest_in_order() {
    let queue = roomy();
    let tickets = [30, 40, 50, 10].map(|item| submit(&queue, item, Buffered));
    let mut groups = Vec::new();
    let mut lead = |group: &mut Writes<'_>| {
        let (mut bytes, mut taken) = (0, Vec::new());
        while let Some((member, item)) = group.take_if(|item| bytes == 0 || bytes + item <= 70) {
            bytes += item;
            taken.push(item);
            group.complete(member, Ok(item));
        }
        assert!(group.take().is_none(), "nothing overtakes the item that was refused");
        groups.push(taken);
    };
    while queue.lead_pending(&mut lead) {}
    assert_eq!(groups, [vec![30, 40], vec![50, 10]]);
    assert_eq!(tickets.map(|ticket| queue.wait(ticket, nobody)), [Ok(30), Ok(40), Ok(50), Ok(10)]);
}

/// OkayWAL left `is_syncing` set on an early return, RocksDB #3201 told followers Ok when the
/// leader's write had failed. Here a fatal error reaches the group, the queued and the later ones.
#[test]
fn a_fatal_error_reaches_everybody() {
    within_time(|| {
        let queue = queue(4, Limits { pending: 4, group: 2 });
        let fault = Fault::Fatal("EIO");
        let earlier = submit(&queue, 0, Durable);
        queue.lead_pending(echo);
        let tickets = [1, 2, 3].map(|item| submit(&queue, item, Durable));
        thread::scope(|scope| {
            let blocked = scope.spawn(|| queue.submit(4, Durable).map(drop));
            let [first, second, third] = tickets;
            let followers = [second, third].map(|ticket| scope.spawn(|| queue.wait(ticket, fail_the_sync)));
            assert_eq!(queue.wait(first, fail_the_sync), Err(WaitError::Poisoned(fault.clone())));
            for follower in followers {
                let answer = follower.join().expect("a follower returns");
                assert_eq!(answer, Err(WaitError::Poisoned(fault.clone())));
            }
            let refused = blocked.join().expect("a submitter returns");
            assert_eq!(refused, Err(SubmitError::Poisoned(4, fault.clone())));
        });
        assert_eq!(queue.wait(earlier, nobody), Ok(0), "what was acknowledged stays so");
        let refused = queue.try_submit(5, Buffered).expect_err("poisoned");
        assert_eq!(refused.into_item(), 5);
        assert_eq!((queue.pending(), queue.fault()), (0, Some(fault)));
        assert!(queue.is_drained() && !queue.lead_pending(nobody));
        assert_eq!(queue.wait_for_work(), Work::Drained);
    });
}

fn fail_the_sync(group: &mut Writes<'_>) {
    while let Some((member, item)) = group.take() {
        group.complete(member, Ok(item));
    }
    group.poison("EIO");
    group.poison("a later error");
    assert!(group.take().is_none());
}

#[test]
fn a_panic_of_the_leader_strands_nobody() {
    within_time(|| {
        let queue = queue(8, Limits { pending: 8, group: 2 });
        let tickets = [1, 2, 3, 4].map(|item| submit(&queue, item, Durable));
        let waker = Arc::new(Counter::default());
        queue.register_waker(&tickets[3], Waker::from(waker.clone()));
        let [first, second, third, fourth] = tickets;
        let leading = AtomicBool::new(false);
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                queue.wait(first, |group| {
                    let (member, item) = group.take().expect("an item was queued");
                    group.complete(member, Ok(item));
                    leading.store(true, SeqCst);
                    thread::sleep(Duration::from_millis(20));
                    panic!("(expected in this test)");
                })
            });
            eventually(|| leading.load(SeqCst));
            let followers = [second, third].map(|ticket| scope.spawn(|| queue.wait(ticket, nobody)));
            leader.join().expect_err("the panic is the leader's");
            for follower in followers {
                let answer = follower.join().expect("a follower returns");
                assert_eq!(answer, Err(WaitError::Poisoned(Fault::LeaderPanicked)));
            }
        });
        assert_eq!(waker.0.load(SeqCst), 1);
        assert_eq!(queue.try_take(&fourth), Some(Err(WaitError::Poisoned(Fault::LeaderPanicked))));
        assert_eq!(queue.fault(), Some(Fault::LeaderPanicked));
    });
}

/// A waiter that leads and does not return has given up its ticket. Without that the queue lost a slot for
/// good when it was a waker that panicked: the group is over by then, and the queue goes on.
#[test]
fn a_waker_that_panics_costs_no_slot() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("(expected in this test)");
        }
    }
    let queue = queue(2, Limits::default());
    let watched = submit(&queue, 1, Buffered);
    queue.register_waker(&watched, Waker::from(Arc::new(Panics)));
    let ticket = submit(&queue, 2, Buffered);
    catch_unwind(AssertUnwindSafe(|| queue.wait(ticket, echo))).expect_err("the panic is the waiter's");
    assert_eq!((queue.fault(), queue.try_take(&watched)), (None, Some(Ok(1))));
    assert_no_slot_is_lost(&queue, 2);
}

#[test]
fn a_leader_without_a_report_poisons() {
    let silent: [fn(&mut Writes<'_>); 2] = [
        |_| {},
        |group| {
            let (member, item) = group.take().expect("an item was queued");
            group.complete(member, Ok(item));
            let _unreported = group.take();
        },
    ];
    for lead in silent {
        let queue = roomy();
        let tickets = [1, 2].map(|item| submit(&queue, item, Buffered));
        queue.lead_pending(lead);
        for ticket in tickets {
            assert_eq!(queue.wait(ticket, nobody), Err(WaitError::Poisoned(Fault::Unreported)));
        }
    }
}

/// Turso PR 8943: a cancelled caller stranded its ticket, and no later commit progressed.
#[test]
fn an_abandoned_ticket_is_committed_and_strands_nobody() {
    let queue = queue(3, Limits::default());
    let mut written = Vec::new();
    for round in 0..10 {
        let [queued, taken, reported] = [0, 1, 2].map(|n| submit(&queue, 3 * round + n, Durable));
        queue.abandon(&queued);
        queue.abandon(&queued);
        queue.lead_pending(|group| {
            while let Some((member, item)) = group.take() {
                if item % 3 == 1 {
                    queue.abandon(&taken);
                }
                group.complete(member, Ok(item));
                written.push(item);
            }
            queue.abandon(&reported);
        });
        assert_eq!(queue.pending(), 0);
        let answered = submit(&queue, 0, Buffered);
        queue.lead_pending(echo);
        queue.abandon(&answered);
        queue.abandon(&answered);
    }
    assert!(written.into_iter().eq(0..30));
    assert_no_slot_is_lost(&queue, 3);
}

/// Numbers tell an old ticket from the one that has its slot now. A queue that gave every submission the
/// same number passed every test: giving up an old ticket twice took the reply from somebody else.
#[test]
fn an_old_ticket_says_nothing_about_the_next_one_in_its_slot() {
    let queue = queue(1, Limits::default());
    let old = submit(&queue, 1, Buffered);
    queue.abandon(&old);
    queue.lead_pending(echo);
    let new = submit(&queue, 2, Buffered);
    queue.abandon(&old);
    queue.lead_pending(echo);
    assert_eq!(queue.try_take(&new), Some(Ok(2)));
}

/// A queue that told no flusher of an abandoned ticket passed this test while it had one round: the
/// flusher was not asleep yet.
#[test]
fn an_abandoned_ticket_is_work_for_the_flusher() {
    within_time(|| {
        let queue = roomy();
        let disk = Disk::default();
        thread::scope(|scope| {
            scope.spawn(|| run_flusher(&queue, |group| disk.lead(group)));
            for _ in 0..20 {
                // Only who sleeps can be forgotten. A flusher that takes longer makes the round easy.
                thread::sleep(Duration::from_millis(2));
                submit_and_forget(&queue);
                eventually(|| queue.pending() == 0);
            }
            queue.close();
        });
        assert_eq!(disk.written.into_inner().expect("no writer panicked"), [0; 20]);
    });
}

#[test]
fn a_full_queue_holds_submitters_back() {
    within_time(|| {
        for (slots, pending) in [(2, 1000), (8, 2)] {
            let queue = queue(slots, Limits { pending, group: 1 });
            let tickets = [1, 2].map(|item| submit(&queue, item, Buffered));
            assert_eq!(queue.try_submit(3, Buffered).map(drop), Err(TrySubmitError::Full(3)));
            thread::scope(|scope| {
                let third = scope.spawn(|| submit(&queue, 3, Buffered));
                thread::sleep(Duration::from_millis(5));
                assert!(!third.is_finished());
                for (ticket, item) in tickets.into_iter().zip(1..) {
                    assert_eq!(queue.wait(ticket, echo), Ok(item));
                }
                let third = third.join().expect("there is room");
                assert_eq!(queue.wait(third, echo), Ok(3));
            });
            assert_no_slot_is_lost(&queue, 2);
        }
    });
}

/// A submitter that sleeps for want of a slot looks again when a reply is taken or given up, when the queue is
/// closed and when it breaks. A queue that left one of these calls out passed every test: nobody slept, or
/// something else woke them.
#[test]
fn a_submitter_that_sleeps_hears_of_whatever_changes_its_answer() {
    type Change = fn(&Queue, &Ticket);
    type Submitted = Result<(), SubmitError<u64, Error>>;
    let fault = Fault::Fatal("EIO");
    let changes: [(bool, Change, Submitted); 4] = [
        (true, |queue, ticket| assert_eq!(queue.try_take(ticket), Some(Ok(1))), Ok(())),
        (true, |queue, ticket| queue.abandon(ticket), Ok(())),
        (true, |queue, _| queue.close(), Err(SubmitError::Closed(2))),
        (false, |queue, _| assert!(queue.lead_pending(fail_the_sync)), Err(SubmitError::Poisoned(2, fault))),
    ];
    within_time(move || {
        for (answered, change, expected) in changes.iter().cycle().take(20) {
            let queue = queue(1, Limits::default());
            let ticket = submit(&queue, 1, Buffered);
            assert!(!answered || queue.lead_pending(echo));
            thread::scope(|scope| {
                let submitter = scope.spawn(|| queue.submit(2, Buffered).map(drop));
                // Only who sleeps can be forgotten. A submitter that takes longer makes the round easy.
                thread::sleep(Duration::from_millis(5));
                change(&queue, &ticket);
                assert_eq!(&submitter.join().expect("a submitter returns"), expected);
            });
        }
    });
}

#[test]
fn a_submitter_without_room_is_served_by_a_flusher_or_by_itself() {
    within_time(|| {
        let queue = queue(8, Limits { pending: 2, group: 2 });
        let first = [1, 2].map(|item| submit(&queue, item, Buffered));
        let third = thread::scope(|scope| {
            let flusher = scope.spawn(|| {
                assert_eq!(queue.wait_for_work(), Work::Pending);
                assert!(queue.lead_pending(echo));
            });
            thread::sleep(Duration::from_millis(5));
            assert!(!flusher.is_finished(), "tickets that are only kept are no work");
            submit(&queue, 3, Buffered)
        });
        let fourth = submit(&queue, 4, Buffered);
        assert_eq!(first.map(|ticket| queue.try_take(&ticket)), [Some(Ok(1)), Some(Ok(2))]);
        let fifth = queue.submit_or_lead(5, Buffered, echo).expect("the queue is open");
        assert_eq!([third, fourth].map(|ticket| queue.try_take(&ticket)), [Some(Ok(3)), Some(Ok(4))]);
        assert_eq!(queue.wait(fifth, echo), Ok(5));
    });
}

#[test]
fn tasks_await_their_tickets_without_a_runtime() {
    within_time(|| {
        let queue = queue(8, Limits { pending: 8, group: 3 });
        let disk = Disk::default();
        thread::scope(|scope| {
            let flusher = scope.spawn(|| run_flusher(&queue, |group| disk.lead(group)));
            let tasks: Vec<_> = (0..4)
                .map(|task| {
                    let (queue, disk) = (&queue, &disk);
                    scope.spawn(move || {
                        for item in (0..200).map(|n| task * 1000 + n) {
                            let ticket = submit(queue, item, Durable);
                            let answer = if item % 2 == 0 {
                                block_on(|context| queue.poll(&ticket, context))
                            } else {
                                block_on(|context| {
                                    queue.register_waker(&ticket, context.waker().clone());
                                    queue.try_take(&ticket).map_or(Poll::Pending, Poll::Ready)
                                })
                            };
                            disk.assert_kept(item, answer.expect("written"), Durable);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.join().expect("a task returns");
            }
            queue.close();
            flusher.join().expect("the flusher ends");
        });
        assert_eq!(disk.written.into_inner().expect("no writer panicked").len(), 800);
    });
}

#[test]
fn a_waker_is_woken_once_and_the_last_one_counts() {
    let queue = roomy();
    let ticket = submit(&queue, 1, Buffered);
    let [old, new, late] = [(); 3].map(|()| Arc::new(Counter::default()));
    queue.register_waker(&ticket, Waker::from(old.clone()));
    queue.register_waker(&ticket, Waker::from(new.clone()));
    assert_eq!(Arc::strong_count(&old), 1, "a replaced waker is dropped");
    assert_eq!(queue.wait_for_work(), Work::Pending);
    queue.lead_pending(echo);
    queue.register_waker(&ticket, Waker::from(late.clone()));
    assert_eq!([&old, &new, &late].map(|waker| waker.0.load(SeqCst)), [0, 1, 1]);
    assert_eq!(queue.try_take(&ticket), Some(Ok(1)));
    assert_eq!(Arc::strong_count(&new), 1);
}

/// Wakers, items and replies run the caller's code, which may come back to the queue.
#[test]
fn the_callers_code_runs_outside_the_lock() {
    struct Probe(Arc<Queue<Guest>>, Arc<AtomicUsize>);
    struct Guest(Option<Probe>);
    impl Probe {
        fn touch(&self) {
            self.0.pending();
            self.1.fetch_add(1, SeqCst);
        }
    }
    impl Wake for Probe {
        fn wake(self: Arc<Self>) {
            self.touch();
        }
    }
    impl Drop for Guest {
        fn drop(&mut self) {
            self.0.iter().for_each(Probe::touch);
        }
    }
    within_time(|| {
        let queue: Arc<Queue<Guest>> = Arc::new(queue(8, Limits { pending: 8, group: 1 }));
        let (dropped, woken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tickets = [(); 3].map(|()| {
            let guest = Guest(Some(Probe(queue.clone(), dropped.clone())));
            let ticket = queue.submit(guest, Buffered).unwrap_or_else(|_| panic!("the queue is open"));
            queue.register_waker(&ticket, Waker::from(Arc::new(Probe(queue.clone(), woken.clone()))));
            ticket
        });
        queue.abandon(&tickets[2]);
        queue.lead_pending(|group: &mut Writes<'_, Guest>| {
            let (member, _guest) = group.take().expect("an item was queued");
            group.complete(member, Ok(0));
        });
        assert_eq!([&woken, &dropped].map(|count| count.load(SeqCst)), [1, 1]);
        queue.lead_pending(|group| group.poison("EIO"));
        assert_eq!([&woken, &dropped].map(|count| count.load(SeqCst)), [2, 3], "queued items are dropped");
        assert_eq!(queue.try_take(&tickets[0]), Some(Ok(0)));
        assert_eq!(queue.try_take(&tickets[1]), Some(Err(WaitError::Poisoned(Fault::Fatal("EIO")))));
    });
}

#[test]
fn a_closed_queue_drains() {
    within_time(|| {
        let queue = queue(8, Limits { pending: 2, group: 1 });
        let tickets = [1, 2].map(|item| submit(&queue, item, Buffered));
        assert!(!queue.is_drained());
        thread::scope(|scope| {
            let blocked = scope.spawn(|| queue.submit(3, Buffered).map(drop));
            let flusher = scope.spawn(|| {
                eventually(|| {
                    queue.try_submit(0, Buffered).is_err_and(|error| error != TrySubmitError::Full(0))
                });
                run_flusher(&queue, echo);
            });
            thread::sleep(Duration::from_millis(5));
            queue.close();
            assert_eq!(blocked.join().expect("a submitter returns"), Err(SubmitError::Closed(3)));
            flusher.join().expect("the flusher ends");
        });
        assert!(queue.is_drained());
        assert_eq!(tickets.map(|ticket| queue.wait(ticket, nobody)), [Ok(1), Ok(2)]);
    });
}

#[test]
fn draining_leads_or_waits_for_who_leads() {
    within_time(|| {
        let queue = queue(8, Limits { pending: 8, group: 2 });
        let tickets = [1, 2, 3].map(|item| submit(&queue, item, Buffered));
        let leading = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                queue.lead_pending(|group| {
                    leading.store(true, SeqCst);
                    thread::sleep(Duration::from_millis(10));
                    echo(group);
                })
            });
            eventually(|| leading.load(SeqCst));
            queue.close();
            queue.drain(echo);
            assert!(queue.is_drained());
        });
        assert_eq!(tickets.map(|ticket| queue.wait(ticket, nobody)), [Ok(1), Ok(2), Ok(3)]);
    });
}

#[cfg(feature = "std")]
#[test]
fn a_flusher_may_lead_when_its_time_is_over() {
    let queue = roomy();
    // One that was counted as left to a flusher for ever made work of every ticket after it.
    submit_and_forget(&queue);
    assert!(queue.lead_pending(echo));
    let ticket = submit(&queue, 1, Buffered);
    let begun = std::time::Instant::now();
    assert_eq!(queue.wait_for_work_timeout(Duration::from_millis(20)), None);
    assert!(begun.elapsed() >= Duration::from_millis(20));
    assert!(queue.lead_pending(echo));
    assert_eq!(queue.try_take(&ticket), Some(Ok(1)));
    submit_and_forget(&queue);
    assert_eq!(queue.wait_for_work_timeout(Duration::from_secs(60)), Some(Work::Pending));
}

#[test]
fn a_ticket_is_good_for_one_reply() {
    let queue = roomy();
    let ticket = submit(&queue, 1, Buffered);
    queue.lead_pending(echo);
    assert_eq!(queue.try_take(&ticket), Some(Ok(1)));
    let second = submit(&queue, 2, Buffered);
    queue.abandon(&ticket);
    catch_unwind(AssertUnwindSafe(|| queue.try_take(&ticket))).expect_err("the reply was taken");
    assert_eq!(queue.wait(second, echo), Ok(2));
}

/// A small generator, seeded, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Asks for the reply in one of the ways there are; none if it was given up.
fn ask(
    queue: &Queue,
    ticket: Ticket,
    way: u64,
    lead: impl FnMut(&mut Writes<'_>),
) -> Option<Answer<u64, Error>> {
    match way {
        0..4 => Some(queue.wait(ticket, lead)),
        4 => Some(block_on(|context| queue.poll(&ticket, context))),
        5 => loop {
            match queue.try_take(&ticket) {
                Some(answer) => return Some(answer),
                None => thread::yield_now(),
            }
        },
        6 => {
            queue.register_waker(&ticket, Waker::noop().clone());
            queue.abandon(&ticket);
            None
        }
        _ => {
            queue.abandon(&ticket);
            None
        }
    }
}

#[test]
fn all_ways_to_wait_mix() {
    within_time(|| {
        // Threads that spin on two processors mostly wait for each other.
        for seed in 0..if cfg!(feature = "std") { 8 } else { 2 } {
            let queue: Queue = queue(6, Limits { pending: 4, group: 3 });
            let disk = Disk::default();
            thread::scope(|scope| {
                let flusher = scope.spawn(|| run_flusher(&queue, |group| disk.lead(group)));
                let callers: Vec<_> = (0..4)
                    .map(|caller| {
                        let (queue, disk) = (&queue, &disk);
                        scope.spawn(move || {
                            let mut random = Random(seed * 4 + caller);
                            for item in 0..200 {
                                let durability = if random.below(2) == 0 { Durable } else { Buffered };
                                let item = caller * 1000 + item;
                                let ticket = if random.below(2) == 0 {
                                    submit(queue, item, durability)
                                } else {
                                    queue
                                        .submit_or_lead(item, durability, |group| disk.lead(group))
                                        .expect("the queue is open")
                                };
                                let way = random.below(8);
                                if let Some(answer) = ask(queue, ticket, way, |group| disk.lead(group)) {
                                    disk.assert_kept(item, answer.expect("written"), durability);
                                }
                            }
                        })
                    })
                    .collect();
                for caller in callers {
                    caller.join().expect("a caller returns");
                }
                eventually(|| queue.pending() == 0);
                assert_no_slot_is_lost(&queue, 4);
                queue.close();
                flusher.join().expect("the flusher ends");
            });
            let mut written = disk.written.into_inner().expect("no writer panicked");
            for caller in 0..4 {
                assert!(written.iter().filter(|item| **item / 1000 == caller).is_sorted());
            }
            written.sort_unstable();
            assert!(
                written.into_iter().eq((0..4).flat_map(|caller| (0..200).map(move |n| caller * 1000 + n)))
            );
        }
    });
}

#[test]
fn a_fault_at_any_time_strands_nobody() {
    within_time(|| {
        for seed in 0..60_u64 {
            let queue: Queue = queue(6, Limits { pending: 4, group: 3 });
            let disk = Disk::default();
            let last = 1 + seed as usize % 20;
            let lead = |group: &mut Writes<'_>| {
                if disk.groups.load(SeqCst) < last {
                    return disk.lead(group);
                }
                let (member, item) = group.take().expect("an item was queued");
                match seed % 3 {
                    0 => {
                        group.complete(member, Ok(item));
                        group.poison("EIO");
                    }
                    1 => {
                        group.complete(member, Ok(item));
                        std::panic::resume_unwind(Box::new("expected"));
                    }
                    _ => drop(member),
                }
            };
            thread::scope(|scope| {
                let flusher =
                    scope.spawn(|| drop(catch_unwind(AssertUnwindSafe(|| run_flusher(&queue, lead)))));
                for caller in 0..3 {
                    let (queue, disk) = (&queue, &disk);
                    scope.spawn(move || {
                        let mut random = Random(seed * 3 + caller);
                        for item in (0..).map(|n| caller * 1000 + n) {
                            let Ok(ticket) = queue.submit(item, Durable) else { return };
                            let way = random.below(8);
                            let asked = catch_unwind(AssertUnwindSafe(|| ask(queue, ticket, way, lead)));
                            if let Ok(Some(Ok(position))) = asked {
                                disk.assert_kept(item, position, Durable);
                            }
                        }
                    });
                }
                flusher.join().expect("the flusher ends");
            });
            assert!(queue.is_drained() && queue.fault().is_some());
        }
    });
}

/// Each error could say nothing at all, and no test noticed.
#[test]
fn every_error_says_what_to_do() {
    use blockyard_core::queue::{Fault, SubmitError, TrySubmitError, WaitError};
    let fault = Fault::Fatal("the disk is gone");
    let said = [
        (fault.to_string(), "the disk is gone"),
        (Fault::<&str>::LeaderPanicked.to_string(), "panicked"),
        (Fault::<&str>::Unreported.to_string(), "without a result"),
        (WaitError::Item("no such block").to_string(), "no such block"),
        (WaitError::Poisoned(fault.clone()).to_string(), "the disk is gone; reopen"),
        (SubmitError::<u64, &str>::Closed(1).to_string(), "closing"),
        (SubmitError::Poisoned(1_u64, fault.clone()).to_string(), "the disk is gone; reopen"),
        (TrySubmitError::<u64, &str>::Full(1).to_string(), "try again"),
        (
            TrySubmitError::Refused(SubmitError::Poisoned(1_u64, fault)).to_string(),
            "the disk is gone; reopen",
        ),
    ];
    for (text, needle) in said {
        assert!(text.contains(needle), "{text:?} does not say {needle:?}");
    }
}
