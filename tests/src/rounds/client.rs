//! A client of the bare API that tries again until all of its plan is answered; now and then it forgets everything, as one that was killed does.
//!
//! It shares no code with the product's own client, on purpose.
//!
//! **Invariant:** two answers to one call are never different; the first difference ends the test.
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use stagepages_proto::v1::launch_service_client::LaunchServiceClient;
use stagepages_proto::v1::node_service_client::NodeServiceClient;
use stagepages_proto::v1::stage_pages_stream_response::Answer;
use stagepages_proto::v1::{StagePagesResponse, StagePagesStreamRequest};
use stagepages_tests::{Api, Contents, PAGE, Refusal, page};
use tonic::Status;
use tonic::transport::Endpoint;

use super::image::Image;
use super::plan::Task;
use crate::calls::{Key, status};

/// Connections that a client makes before it gives up: far more than any proxy has faults to give.
const ATTEMPTS: u64 = 1000;
/// How often it forgets everything, at most: it then sends the whole image again.
const KILLS: u64 = 2;
/// Single calls on one connection.
const SINGLES: u64 = 16;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) who: &'static str,
    pub(crate) socket: PathBuf,
    pub(crate) launch: String,
    pub(crate) image: Arc<Image>,
    pub(crate) plan: VecDeque<Task>,
    pub(crate) random: Contents,
    pub(crate) book: Book,
}

/// What a client knows of its calls.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every call that it ever sent, with its answer if one ever came.
    pub(crate) calls: HashMap<Key, Option<StagePagesResponse>>,
    /// Calls that it sent, or asked for, more than once.
    pub(crate) repeats: u64,
    /// How often it forgot everything.
    pub(crate) killed: u64,
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
    /// Stages the whole plan.
    pub(crate) async fn run(mut self) -> Book {
        let mut todo = self.plan.clone();
        for attempt in 0..ATTEMPTS {
            if todo.is_empty() {
                return self.book;
            }
            if attempt > 0 && self.book.killed < KILLS && self.random.below(4) == 0 {
                self.book.killed += 1;
                todo = self.plan.clone();
            }
            let Some(api) = self.connect().await else {
                continue;
            };
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
            "{} has calls left after {ATTEMPTS} connections: {todo:?}",
            self.who
        );
    }

    async fn connect(&self) -> Option<Api> {
        let place = format!("unix:{}", self.socket.display());
        let channel = Endpoint::from_shared(place).unwrap().connect().await.ok()?;
        Some(Api {
            launches: LaunchServiceClient::new(channel.clone()),
            node: NodeServiceClient::new(channel.clone()),
            channel,
        })
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
                    Answer::Error(error) => Err(status(error)),
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
                        stop.identical,
                        "all stage the same image: {task:?}: {answer:?}"
                    );
                    self.go_on(&task, stop.gpa / PAGE + stop.identical_pages, todo);
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
                assert_eq!(refusal.meta("identical"), "true", "{task:?}: {refusal:?}");
                let next = task.first + refusal.number("identical_pages");
                self.go_on(&task, next, todo);
            }
            // Behind a stop, in the order in which they were sent.
            "NOT_APPLIED" => todo.push_back(task),
            "RESULT_NOT_FOUND" => todo.push_front(task),
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
