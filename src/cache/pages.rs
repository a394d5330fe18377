//! Pages of a table by number, found without a lock: the first pages loaded are kept for good within half of the budget, all
//! others go through an LRU cache. Most tables fit into that half.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use super::Cache;

/// Pages with a slot of their own: 384 KiB of slots at most, whatever size the table claims.
const MAX_PLACES: u64 = 1 << 14;

/// The pages of a table, bounded in bytes.
pub struct Pages<V> {
    places: Box<[OnceLock<V>]>,
    /// The part of the budget that is left for permanent pages.
    left: AtomicUsize,
    others: Cache<u64, V>,
}

impl<V: Clone> Pages<V> {
    /// A table of `count` pages, of which at most `budget` bytes are kept.
    pub fn new(count: u64, budget: usize) -> Self {
        Self {
            places: (0..count.min(MAX_PLACES)).map(|_| OnceLock::new()).collect(),
            left: AtomicUsize::new(budget / 2),
            others: Cache::new(budget / 2),
        }
    }

    /// Applies `look` to a page; on a miss `load` returns the page with its size in bytes. Two readers may both load a page;
    /// one of the two is kept.
    ///
    /// # Errors
    /// Those of `load`; failures are not kept.
    pub fn with<T, E>(
        &self,
        number: u64,
        load: impl FnOnce() -> Result<(V, usize), E>,
        look: impl FnOnce(&V) -> T,
    ) -> Result<T, E> {
        let place = usize::try_from(number).ok().and_then(|number| self.places.get(number));
        if let Some(page) = place.and_then(OnceLock::get) {
            return Ok(look(page));
        }
        if let Some(page) = self.others.get(&number) {
            return Ok(look(&page));
        }
        let (page, bytes) = load()?;
        let seen = look(&page);
        match place.filter(|_| self.take(bytes)) {
            Some(place) => {
                if place.set(page).is_err() {
                    self.left.fetch_add(bytes, Ordering::Relaxed);
                }
            }
            None => self.others.put(number, page, bytes),
        }
        Ok(seen)
    }

    fn take(&self, bytes: usize) -> bool {
        let rest = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_fits_stays_and_the_rest_comes_and_goes() {
        let (pages, loads) = (Pages::new(1 << 40, 3200), Cell::new(0));
        let get = |number: u64| {
            let load = || {
                loads.set(loads.get() + 1);
                Ok::<_, ()>((number * 3, 100))
            };
            assert_eq!(pages.with(number, load, |page| *page + 1), Ok(number * 3 + 1));
        };
        (0..10_000).for_each(get);
        assert_eq!(loads.replace(0), 10_000);
        (0..16).for_each(get);
        assert_eq!(loads.get(), 0);
        (16..10_000).for_each(get);
        assert!(loads.replace(0) > 9900);
        // Beyond the pages with a slot.
        get(1 << 39);
        get(1 << 39);
        assert_eq!(loads.get(), 1);
        assert_eq!(pages.with(1 << 38, || Err("unreadable"), |page| *page), Err("unreadable"));
    }
}
