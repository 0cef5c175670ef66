//! A thousand launches.

use std::{collections::BTreeSet, sync::Arc};

use stagepages_tests::{Api, Daemon, DaemonOptions, SimScript, page, region};
use tokio::sync::Semaphore;

use crate::site::{Page, look};

const MANY: usize = 1000;

fn names(page: &Page) -> Vec<String> {
    let links = page.body.split("href=\"/launches/").skip(1);
    let names = links.map(|link| link.split_once('"').unwrap().0.to_owned());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_launches_are_paged_through() {
    let daemon = Daemon::start(&DaemonOptions::new().without_tcp());
    let api = Api::unix(daemon.socket()).await;
    let at_once = Arc::new(Semaphore::new(8));
    let made: Vec<_> = (0..MANY)
        .map(|nth| {
            let (api, at_once) = (api.clone(), Arc::clone(&at_once));
            tokio::spawn(async move {
                let _turn = at_once.acquire().await.unwrap();
                let spec = SimScript::new().spec([region(page(0), 1 << 20)]);
                let launch = api.create(&format!("vm-{nth}"), spec).await.unwrap();
                // One that is over is listed as well, and takes no process.
                if nth % 100 != 0 {
                    api.abort(&launch.name).await.unwrap();
                }
            })
        })
        .collect();
    for one in made {
        one.await.unwrap();
    }
    let (mut at, mut seen, mut pages) = ("/".to_owned(), BTreeSet::new(), 0);
    loop {
        let page = look(&daemon, &at).await.ok();
        let shown = names(&page);
        assert!(shown.len() <= 50, "{} on one page", shown.len());
        seen.extend(shown);
        pages += 1;
        if pages == 1 {
            assert_eq!(page.number("node:usage.launches"), 1000);
            assert_eq!(page.number("node:usage.live_launches"), 10);
            assert!(page.says("there are more"));
        }
        let Some((_, next)) = page.body.split_once("rel=\"next\" href=\"") else {
            break;
        };
        at = next.split_once('"').unwrap().0.replace("&amp;", "&");
    }
    assert_eq!((pages, seen.len()), (20, MANY));
    let live = look(&daemon, "/?show=live").await.ok();
    assert_eq!(names(&live).len(), 10);
    daemon.stop();
}
