//! Requests in any order, from several threads, on a generated tree: what the tests and fuzz targets of both adapters share.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, LazyLock, Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
};

use super::{Input, bodies};
use crate::tree::Tree;

/// Threads, and the most requests of each.
const THREADS: usize = 3;
const REQUESTS: usize = 40;
const THREAD: &str = "random requests";

/// Panics in requests that the adapter caught: each is a bug, though it costs a mount no more than one request.
static PANICS: AtomicUsize = AtomicUsize::new(0);
static HOOK: Once = Once::new();

type Job = Box<dyn FnOnce() + Send>;
/// Threads that live as long as the process: a fuzzer would start a million of them.
static POOL: LazyLock<Mutex<Vec<Sender<Job>>>> = LazyLock::new(|| {
    let start = |_| {
        let (sender, jobs) = channel::<Job>();
        let work = move || jobs.into_iter().for_each(|job| job());
        thread::Builder::new().name(THREAD.into()).spawn(work).expect("a thread");
        sender
    };
    Mutex::new((0..THREADS).map(start).collect())
});

/// Runs requests chosen by `data`: a third of the bytes, the end of it for each thread its own. `prepare` makes an adapter of
/// the tree; `request` makes one request, and gets whether the image is sound.
///
/// # Panics
/// When a request panics, in the adapter or because its answer is wrong.
pub fn run<A: Send + Sync + 'static>(
    data: &[u8],
    prepare: impl FnOnce(Tree, &mut Input<'_>) -> A,
    request: fn(&A, &mut Input<'_>, bool),
) {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if thread::current().name() == Some(THREAD) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            before(panic);
        }));
    });
    let mut input = Input::new(data);
    let requests: Vec<&[u8]> = (0..THREADS).map(|_| input.split_end(data.len() / 9)).collect();
    let Some((tree, sound)) = bodies::opened(&mut input) else { return };
    let adapter = Arc::new(prepare(tree, &mut input));
    let pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let before = PANICS.load(Ordering::Relaxed);
    let (ended, end) = channel::<Result<(), Box<dyn Any + Send>>>();
    for (thread, requests) in pool.iter().zip(requests) {
        let (adapter, requests, ended) = (adapter.clone(), requests.to_vec(), ended.clone());
        let work = move || {
            let mut input = Input::new(&requests);
            for _ in 0..REQUESTS {
                if input.left() == 0 {
                    break;
                }
                request(&adapter, &mut input, sound);
            }
        };
        let job = Box::new(move || {
            let _ = ended.send(panic::catch_unwind(AssertUnwindSafe(work)));
        });
        thread.send(job).expect("the thread lives as long as the process");
    }
    drop(ended);
    let results: Vec<_> = end.iter().collect();
    let panics = PANICS.load(Ordering::Relaxed) - before;
    drop(pool);
    for result in results {
        result.unwrap_or_else(|panic| panic::resume_unwind(panic));
    }
    assert_eq!(panics, 0, "a request panicked");
}
