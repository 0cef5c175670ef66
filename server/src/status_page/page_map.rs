//! What lies where in a launch's memory: its ledger, summed into a few hundred cells.
//!
//! A ledger may have as many runs as pages, so no more than so many are looked at; and a launch host may hang, so it is asked once at a time, by a task that
//! outlives who looks. All who look at the same launch share its map for a second.
//!
//! **Invariant:** of one launch one question is under way, of all launches [`MAPS`]; nobody waits for longer than [`WAIT`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use stagepages_kvm::PAGE_SIZE;
use stagepages_proto::v1::{
    self, InstalledRun, ListInstalledPagesRequest, launch_service_server::LaunchService as _,
};
use tokio::sync::watch;

use super::look::asked;
use crate::{auth::Caller, rpc::LaunchApi};

/// Cells of a map, but for regions smaller than one.
const CELLS: u64 = 512;
/// Regions that are drawn.
const REGIONS: usize = 32;
/// Runs that are looked at.
const RUNS: usize = 20_000;
/// Runs that are listed one by one.
pub(super) const LISTED: usize = 24;
/// Maps that are put together or kept at one time.
const MAPS: usize = 32;
/// How long a map is waited for.
const WAIT: Duration = Duration::from_secs(1);
/// How long it is good.
const FRESH: Duration = Duration::from_secs(1);

/// Page types, in the order of a cell's counts.
pub(super) const TYPES: [v1::PageType; 5] = [
    v1::PageType::Normal,
    v1::PageType::Zero,
    v1::PageType::Unmeasured,
    v1::PageType::Secrets,
    v1::PageType::Cpuid,
];

/// How many pages of each type.
pub(super) type Counts = [u64; TYPES.len()];

/// A map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) pages_per_cell: u64,
    pub(super) strips: Vec<Strip>,
    /// Regions that are not drawn.
    pub(super) more_regions: usize,
    pub(super) totals: Counts,
    /// The first of them.
    pub(super) runs: Vec<InstalledRun>,
    /// How many there are, or were looked at.
    pub(super) run_count: usize,
    /// Above this address nothing was looked at.
    pub(super) cut_at: Option<u64>,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) gpa: u64,
    pub(super) pages: u64,
    pub(super) cells: Vec<Counts>,
}

/// Why there is no map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoMap {
    /// The launch host does not answer.
    Silent,
    /// Too many maps are under way.
    Busy,
    /// In the API's words.
    Unreadable(String),
}

type Made = Option<Result<Arc<Drawn>, NoMap>>;

#[derive(Debug)]
struct Entry {
    made: watch::Receiver<Made>,
    begun: Instant,
}

/// The maps of late, by the uid of their launch.
#[derive(Debug, Default)]
pub(super) struct PageMaps(Mutex<HashMap<String, Entry>>);

impl PageMaps {
    /// The map of a launch of this caller's.
    pub(super) async fn of(
        &self,
        launches: &LaunchApi,
        caller: &Caller,
        launch: &v1::Launch,
    ) -> Result<Arc<Drawn>, NoMap> {
        // It is not asked more often than its own pulse asks it.
        if launch.host_unresponsive_since.is_some() {
            return Err(NoMap::Silent);
        }
        let mut made = self.made(launches, caller, launch).ok_or(NoMap::Busy)?;
        let ready = tokio::time::timeout(WAIT, made.wait_for(Option::is_some)).await;
        match ready {
            Ok(Ok(made)) => made.clone().unwrap_or(Err(NoMap::Silent)),
            Ok(Err(_)) | Err(_) => Err(NoMap::Silent),
        }
    }

    fn made(
        &self,
        launches: &LaunchApi,
        caller: &Caller,
        launch: &v1::Launch,
    ) -> Option<watch::Receiver<Made>> {
        let mut maps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        maps.retain(|_, entry| entry.made.borrow().is_none() || entry.begun.elapsed() < FRESH);
        if let Some(entry) = maps.get(&launch.uid) {
            return Some(entry.made.clone());
        }
        if maps.len() >= MAPS {
            return None;
        }
        let (done, made) = watch::channel(None);
        let entry = Entry {
            made: made.clone(),
            begun: Instant::now(),
        };
        maps.insert(launch.uid.clone(), entry);
        let (launches, caller, launch) = (launches.clone(), caller.clone(), launch.clone());
        tokio::spawn(async move {
            let result = draw(&launches, &caller, &launch).await;
            done.send_replace(Some(result.map(Arc::new)));
        });
        Some(made)
    }
}

async fn draw(launches: &LaunchApi, caller: &Caller, launch: &v1::Launch) -> Result<Drawn, NoMap> {
    let regions = launch.spec.as_ref().map(|spec| spec.regions.as_slice());
    let mut map = Drawn::of(regions.unwrap_or_default());
    let mut token = String::new();
    loop {
        let request = ListInstalledPagesRequest {
            name: launch.name.clone(),
            uid: launch.uid.clone(),
            page_token: token,
            order: v1::LedgerOrder::Gpa.into(),
            ..ListInstalledPagesRequest::default()
        };
        let answer = launches.list_installed_pages(asked(request, caller)).await;
        let answer = answer.map_err(|status| NoMap::Unreadable(status.message().to_owned()))?;
        let answer = answer.into_inner();
        for run in &answer.runs {
            map.add(run);
        }
        token = answer.next_page_token;
        if token.is_empty() {
            return Ok(map);
        }
        if map.run_count >= RUNS {
            let end = answer.runs.last();
            map.cut_at = end.map(|run| run.gpa + run.pages * PAGE_SIZE);
            return Ok(map);
        }
    }
}

impl Drawn {
    /// An empty map.
    fn of(regions: &[v1::MemoryRegion]) -> Self {
        let mut regions = regions.to_vec();
        regions.sort_by_key(|region| region.gpa);
        let more_regions = regions.len().saturating_sub(REGIONS);
        regions.truncate(REGIONS);
        let pages = |region: &v1::MemoryRegion| region.size / PAGE_SIZE;
        let total: u64 = regions.iter().map(pages).sum();
        let pages_per_cell = total.div_ceil(CELLS).max(1);
        let strip = |region: &v1::MemoryRegion| Strip {
            gpa: region.gpa,
            pages: pages(region),
            // At most CELLS and one for each region.
            cells: vec![
                Counts::default();
                usize::try_from(pages(region).div_ceil(pages_per_cell)).unwrap_or(0)
            ],
        };
        Self {
            pages_per_cell,
            strips: regions.iter().map(strip).collect(),
            more_regions,
            ..Self::default()
        }
    }

    fn add(&mut self, run: &InstalledRun) {
        self.run_count += 1;
        if self.runs.len() < LISTED {
            self.runs.push(InstalledRun {
                page_hashes: Default::default(),
                ..run.clone()
            });
        }
        let Some(kind) = TYPES.iter().position(|kind| *kind == run.page_type()) else {
            return;
        };
        self.totals[kind] += run.pages;
        // The last one that begins at or before it.
        let after = self.strips.partition_point(|strip| strip.gpa <= run.gpa);
        let Some(strip) = after
            .checked_sub(1)
            .and_then(|nth| self.strips.get_mut(nth))
        else {
            return;
        };
        let mut page = (run.gpa - strip.gpa) / PAGE_SIZE;
        let end = page.saturating_add(run.pages).min(strip.pages);
        while page < end {
            let cell = page / self.pages_per_cell;
            let next = ((cell + 1) * self.pages_per_cell).min(end);
            if let Some(counts) = usize::try_from(cell)
                .ok()
                .and_then(|cell| strip.cells.get_mut(cell))
            {
                counts[kind] += next - page;
            }
            page = next;
        }
    }
}

impl Strip {
    /// The pages that a cell stands for.
    pub(super) fn pages_of(&self, cell: usize, pages_per_cell: u64) -> u64 {
        let before = u64::try_from(cell)
            .unwrap_or(u64::MAX)
            .saturating_mul(pages_per_cell);
        self.pages.saturating_sub(before).min(pages_per_cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(gpa: u64, pages: u64) -> v1::MemoryRegion {
        v1::MemoryRegion {
            gpa,
            size: pages * PAGE_SIZE,
        }
    }

    fn run(gpa: u64, pages: u64, page_type: v1::PageType) -> InstalledRun {
        InstalledRun {
            gpa,
            pages,
            page_type: page_type.into(),
            ..InstalledRun::default()
        }
    }

    #[test]
    fn every_page_is_in_one_cell() {
        // 5000 pages in 10 to a cell, and a region that ends within a cell.
        let mut map = Drawn::of(&[region(1 << 32, 123), region(0, 4877)]);
        assert_eq!(map.pages_per_cell, 10);
        assert_eq!(map.strips[0].cells.len(), 488);
        assert_eq!(map.strips[1].cells.len(), 13);
        map.add(&run(5 * PAGE_SIZE, 20, v1::PageType::Normal));
        map.add(&run(25 * PAGE_SIZE, 1, v1::PageType::Cpuid));
        map.add(&run(1 << 32, 123, v1::PageType::Zero));
        let cells = &map.strips[0].cells;
        assert_eq!([cells[0][0], cells[1][0], cells[2][0]], [5, 10, 5]);
        assert_eq!(cells[2][4], 1);
        assert_eq!(map.strips[1].cells[12][1], 3);
        assert_eq!(map.strips[1].pages_of(12, 10), 3);
        assert_eq!(map.totals, [20, 123, 0, 0, 1]);
        let drawn = map
            .strips
            .iter()
            .flat_map(|strip| strip.cells.iter().flatten());
        assert_eq!(drawn.sum::<u64>(), map.totals.iter().sum::<u64>());
    }

    #[test]
    fn memory_of_any_size_has_few_cells() {
        let huge = Drawn::of(&[region(0, 1 << 32)]);
        assert_eq!(huge.strips[0].cells.len(), 512);
        let many: Vec<_> = (0..1024).map(|nth| region(nth << 20, 1)).collect();
        let many = Drawn::of(&many);
        assert_eq!((many.strips.len(), many.more_regions), (REGIONS, 992));
        assert!(Drawn::of(&[]).strips.is_empty());
    }
}
