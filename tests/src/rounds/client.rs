//! A client of the bare API that tries again until all of its plan is answered; now and then it forgets everything, as one that was killed does.
//!
//! It shares no code with the product's own client, on purpose.
//!
//! **Invariant:** two answers to one call are never different; the first difference ends the test.
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stagepages_proto::v1::stage_pages_stream_response::Answer;
use stagepages_proto::v1::{StagePagesResponse, StagePagesStreamRequest};
use tokio::time::Instant;
use tonic::Status;

use super::image::Image;
use super::plan::Task;
use crate::api::Api;
use crate::calls::{Key, call_status};
use crate::contents::{Contents, PAGE, page};
use crate::refusal::Refusal;
use crate::wait::LONG;

/// Between two connections to a daemon that is away.
const PAUSE: Duration = Duration::from_millis(10);
/// How often it forgets everything, at most: it then sends the whole image again.
const KILLS: u64 = 2;
/// Single calls on one connection.
const SINGLES: u64 = 16;

/// A client, before it begins.
#[derive(Debug)]
pub struct Client {
    /// Its name, with which it names its calls.
    pub who: &'static str,
    /// Where it connects to.
    pub socket: PathBuf,
    /// The launch's name.
    pub launch: String,
    /// What it stages.
    pub image: Arc<Image>,
    /// In which calls.
    pub plan: VecDeque<Task>,
    /// What it does next.
    pub random: Contents,
    /// What it knows.
    pub book: Book,
    /// What may go wrong around it.
    pub world: World,
}

/// What a client has to live with.
#[derive(Debug, Clone, Copy, Default)]
pub struct World {
    /// Others stage other bytes into the same launch: a page that is there may be theirs.
    pub rivals: bool,
    /// The daemon may be killed, and come back.
    pub daemon_dies: bool,
    /// The launch's host may be killed: then that was it.
    pub host_dies: bool,
}

/// What a client knows of its calls.
#[derive(Debug, Default)]
pub struct Book {
    /// Every call that it ever sent, with its answer if one ever came.
    pub calls: HashMap<Key, Option<StagePagesResponse>>,
    /// Calls that it sent, or asked for, more than once.
    pub repeats: u64,
    /// How often it forgot everything.
    pub killed: u64,
    /// The launch was over before all was staged.
    pub over: bool,
}

impl Book {
    fn sends(&mut self, key: &Key) {
        if self.calls.contains_key(key) {
            self.repeats += 1;
        } else {
            self.calls.insert(key.clone(), None);
        }
    }

    fn answered(&mut self, key: &Key, answer: StagePagesResponse) {
        let known = self.calls.entry(key.clone()).or_default();
        let first = known.get_or_insert(answer);
        assert_eq!(*first, answer, "two answers to {key:?}");
    }
}

impl Client {
    /// Stages the whole plan, or as much as there is a launch for.
    ///
    /// # Panics
    /// If it is answered what it cannot have been, or gets nowhere for a minute.
    pub async fn run(mut self) -> Book {
        let mut todo = self.plan.clone();
        let deadline = Instant::now() + LONG;
        let mut first = true;
        while Instant::now() < deadline {
            if todo.is_empty() || self.book.over {
                return self.book;
            }
            if !std::mem::take(&mut first) && self.book.killed < KILLS && self.random.below(4) == 0
            {
                self.book.killed += 1;
                todo = self.plan.clone();
            }
            let api = Api::try_unix(&self.socket).await;
            if api.is_none() || self.world.daemon_dies {
                tokio::time::sleep(PAUSE).await;
            }
            let Some(api) = api else { continue };
            // However far it comes, what it learnt is in the book.
            match self.random.below(3) {
                0 => self.singly(&api, &mut todo).await,
                1 => {
                    self.ask(&api, &mut todo).await;
                    self.streaming(&api, &mut todo).await;
                }
                _ => self.streaming(&api, &mut todo).await,
            }
        }
        panic!(
            "{} has calls left after {} s: {todo:?}",
            self.who,
            LONG.as_secs()
        );
    }

    /// A few calls, one after the other.
    async fn singly(&mut self, api: &Api, todo: &mut VecDeque<Task>) {
        for _ in 0..SINGLES {
            let Some(task) = todo.pop_front() else {
                return;
            };
            self.book.sends(&task.key);
            let request = task.key.request(&self.launch, self.image.extent(&task));
            let answer = api.stage_request(request).await;
            if !self.take(task, answer, todo) {
                return;
            }
        }
    }

    /// Asks what became of the first call that has no answer.
    async fn ask(&mut self, api: &Api, todo: &mut VecDeque<Task>) {
        let Some(task) = todo.pop_front() else {
            return;
        };
        self.book.sends(&task.key);
        let answer = task.key.result(api, &self.launch).await;
        self.take(task, answer, todo);
    }

    /// All that is left, on one stream.
    async fn streaming(&mut self, api: &Api, todo: &mut VecDeque<Task>) {
        let mut sent = std::mem::take(todo);
        for task in &sent {
            self.book.sends(&task.key);
        }
        let (image, name, tasks) = (Arc::clone(&self.image), self.launch.clone(), sent.clone());
        let requests = tasks.into_iter().map(move |task| StagePagesStreamRequest {
            request: Some(task.key.request(&name, image.extent(&task))),
        });
        let stream = api
            .launches
            .clone()
            .stage_pages_stream(tokio_stream::iter(requests))
            .await;
        if let Ok(stream) = stream {
            let mut stream = stream.into_inner();
            let mut index = 0;
            while let Ok(Some(said)) = stream.message().await {
                assert_eq!(said.index, index, "an answer out of order");
                index += 1;
                let task = sent.pop_front().expect("no more answers than requests");
                let answer = match said.answer.expect("an answer") {
                    Answer::Result(result) => Ok(result),
                    Answer::Error(error) => Err(call_status(error)),
                };
                self.take(task, answer, todo);
            }
        }
        todo.append(&mut sent);
    }

    /// Takes what came of a call; what is to be done still goes back to `todo`. Whether there was an answer at all.
    fn take(
        &mut self,
        task: Task,
        answer: Result<StagePagesResponse, Status>,
        todo: &mut VecDeque<Task>,
    ) -> bool {
        let sequenced = matches!(task.key, Key::Number(_));
        let refusal = match answer {
            Ok(answer) => {
                let next = task.first + answer.installed_pages;
                assert_eq!(answer.next_gpa, page(next).get(), "{task:?}: {answer:?}");
                if let Some(stop) = &answer.stop {
                    assert!(!sequenced, "nobody else is here: {task:?}: {answer:?}");
                    assert_eq!(stop.gpa, answer.next_gpa);
                    assert!(
                        stop.identical || self.world.rivals,
                        "all stage the same image: {task:?}: {answer:?}"
                    );
                    // A rival's page is skipped.
                    let skipped = stop.identical_pages.max(1);
                    self.go_on(&task, stop.gpa / PAGE + skipped, todo);
                } else {
                    assert_eq!(next, task.end(), "{task:?}: {answer:?}");
                }
                self.book.answered(&task.key, answer);
                return true;
            }
            // Without details it is the transport's.
            Err(status) if status.details().is_empty() => {
                todo.push_front(task);
                return false;
            }
            Err(status) => Refusal::of(&status),
        };
        match refusal.reason.as_str() {
            "ALREADY_INSTALLED" if !sequenced => {
                let identical = refusal.meta("identical") == "true";
                assert!(identical || self.world.rivals, "{task:?}: {refusal:?}");
                let same = refusal
                    .has_meta("identical_pages")
                    .then(|| refusal.number("identical_pages"));
                self.go_on(&task, task.first + same.unwrap_or(0).max(1), todo);
            }
            // Behind a stop, in the order in which they were sent.
            "NOT_APPLIED" => todo.push_back(task),
            "RESULT_NOT_FOUND" => todo.push_front(task),
            // Its host finishes what the last daemon had handed it, or this daemon leaves.
            "HOST_UNREACHABLE" | "DRAINING" if self.world.daemon_dies => {
                todo.push_front(task);
                return false;
            }
            "HOST_DIED" | "WRONG_STATE" if self.world.host_dies => {
                assert!(
                    !refusal.has_meta("launch_state") || refusal.meta("launch_state") == "ABORTED",
                    "{refusal:?}"
                );
                self.book.over = true;
                return false;
            }
            _ => panic!("{task:?}: {refusal:?}"),
        }
        true
    }

    /// Puts what is left of `task` from page `next` on under a name of its own.
    fn go_on(&self, task: &Task, next: u64, todo: &mut VecDeque<Task>) {
        if next < task.end() {
            todo.push_back(Task::named(self.who, next, task.end() - next));
        }
    }
}
