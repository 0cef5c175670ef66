//! One session after another against one host, with every decision of chance taken from a script.

use std::mem;

use stagepages_proto::v1::{InstalledRun, PageType, StagePagesRequest};
use tonic::Status;

use super::host::{Host, image_byte as byte, refusal};
use crate::{
    LaunchRef, StagepagesError,
    addr::Gpa,
    images::ImageName,
    reason,
    session::{
        SessionName,
        held::Held,
        machine::{Action, Machine, Numbers},
        name::CutName,
        piece::Piece,
    },
    stage::{Pages, content::Content, cut::Cuts},
};

/// Pages of the plan, which begins at 0.
pub(super) const PLAN: u64 = 24;
const CUT: u64 = 4;
/// More steps than any script can cause: a session that needs more never ends.
const STEPS: usize = 20_000;

/// The requests of one stream that the host has not read.
#[derive(Default)]
struct Stream {
    unread: Vec<StagePagesRequest>,
    stopped: bool,
}

impl Stream {
    /// The host reads one request.
    fn step(
        &mut self,
        host: &mut Host,
    ) -> Option<Result<stagepages_proto::v1::StagePagesResponse, StagepagesError>> {
        if self.unread.is_empty() {
            return None;
        }
        let call = self.unread.remove(0);
        if self.stopped {
            return Some(Err(refusal(reason::NOT_APPLIED, &[])));
        }
        let answer = host.apply(&call);
        self.stopped = answer.as_ref().map_or(true, |it| it.stop.is_some());
        Some(answer)
    }
}

pub(super) struct World {
    pub(super) host: Host,
    numbered: bool,
    /// Whether the contents come from the host's image.
    by_reference: bool,
    script: Vec<u8>,
    live: Stream,
    /// Streams whose client is gone, and whose requests may still be read.
    orphans: Vec<Stream>,
    /// Whether a page that differs was put into the plan.
    pub(super) spoiled: bool,
}

impl World {
    pub(super) fn new(numbered: bool, by_reference: bool, mut script: Vec<u8>) -> Self {
        script.reverse();
        Self {
            host: Host::default(),
            numbered,
            by_reference,
            script,
            live: Stream::default(),
            orphans: Vec::new(),
            spoiled: false,
        }
    }

    /// The next decision; 255 for good once the script is over, which nothing bad follows.
    fn chance(&mut self) -> u8 {
        self.script.pop().unwrap_or(255)
    }

    /// Runs sessions until one is not killed, and returns it.
    pub(super) fn run(&mut self, in_flight: usize) -> Machine {
        for _ in 0..STEPS {
            if let Some(machine) = self.session(in_flight) {
                return machine;
            }
        }
        panic!("every session was killed");
    }

    /// All that is still under way arrives.
    pub(super) fn settle_down(&mut self) {
        for mut stream in mem::take(&mut self.orphans) {
            while stream.step(&mut self.host).is_some() {}
        }
    }

    /// One session; `None` if it was killed.
    fn session(&mut self, in_flight: usize) -> Option<Machine> {
        let runs: Vec<InstalledRun> = self
            .host
            .pages
            .keys()
            .map(|gpa| InstalledRun {
                gpa: *gpa,
                pages: 1,
                ..InstalledRun::default()
            })
            .collect();
        let (held, name): (_, SessionName) = (Held::new(&runs), "s".parse().unwrap());
        let plan = Pages {
            gpa: Gpa::new(0),
            count: PLAN,
        };
        let mut cuts = Cuts::new(plan, CUT);
        let numbers = if self.numbered {
            Numbers::Unknown
        } else {
            Numbers::None
        };
        let mut machine = Machine::new(plan.gpa, numbers, in_flight, true);
        for _ in 0..STEPS {
            self.others();
            let action = machine.next();
            if action != Action::Over && self.chance() < 6 {
                self.abandon(false);
                return None;
            }
            match action {
                Action::Over => return Some(machine),
                Action::Read => match cuts.next() {
                    Some(cut) => machine.push(piece(&name, &held, cut, self.by_reference)),
                    None => machine.exhausted(),
                },
                Action::Send => {
                    let request = machine.send(&LaunchRef::from("vm")).unwrap();
                    self.live.unread.push(request);
                }
                Action::Await => self.hear(&mut machine),
                Action::Close { .. } => {
                    self.abandon(true);
                    machine.closed(false);
                }
                Action::Ask(at) => {
                    if self.chance() < 30 {
                        machine.failed(Status::unavailable("lost").into());
                    } else if let Some(answer) = self.host.kept(&machine.request_id(at)) {
                        machine.found(at, Ok(answer));
                    } else {
                        machine.not_found(at);
                    }
                }
                Action::Number => machine.numbered(self.host.next),
                Action::Pause => machine.resume(),
            }
        }
        panic!("no end: {machine:?}");
    }

    /// An answer, a refusal that means "later", or a lost connection.
    fn hear(&mut self, machine: &mut Machine) {
        match self.chance() {
            0..40 => {
                // Any number of requests is applied although no answer arrives.
                for _ in 0..self.chance() % 8 {
                    self.live.step(&mut self.host);
                }
                self.abandon(false);
                machine.lost(Status::unavailable("connection reset").into());
            }
            40..55 => {
                self.live.stopped = true;
                machine.answered(Err(refusal(reason::QUEUE_FULL, &[])));
            }
            55..65 => {
                // The host applies it, but the daemon does not hear of it in time; what follows is not applied.
                self.live.step(&mut self.host);
                self.live.stopped = true;
                machine.answered(Err(refusal(reason::HOST_UNREACHABLE, &[])));
            }
            _ => match self.live.step(&mut self.host) {
                Some(answer) => machine.answered(answer),
                None => machine.lost(Status::unavailable("ended").into()),
            },
        }
    }

    /// The client leaves the stream. What it closed behind a stop is read to its end, the rest perhaps later.
    fn abandon(&mut self, closed: bool) {
        let mut stream = mem::take(&mut self.live);
        if closed && stream.stopped {
            while stream.step(&mut self.host).is_some() {}
        } else {
            self.orphans.push(stream);
        }
    }

    /// What happens meanwhile: late requests arrive, and on an UNORDERED launch others install pages.
    fn others(&mut self) {
        match self.chance() {
            0..30 if !self.orphans.is_empty() => {
                let which = usize::from(self.chance()) % self.orphans.len();
                self.orphans[which].step(&mut self.host);
            }
            30..40 if !self.numbered => {
                let page = u64::from(self.chance()) % PLAN;
                let differs = self.chance() < 40;
                let free = !self.host.pages.contains_key(&(page * 4096));
                if free {
                    let found = if differs { 0xff } else { byte(page) };
                    self.host.pages.insert(page * 4096, found);
                    self.spoiled |= differs;
                }
            }
            _ => {}
        }
    }

    /// Whether every page of the plan is installed as wanted.
    pub(super) fn is_whole(&self) -> bool {
        (0..PLAN).all(|n| self.host.pages.get(&(n * 4096)) == Some(&byte(n)))
    }
}

fn piece(name: &SessionName, held: &Held, cut: Pages, by_reference: bool) -> Piece {
    let first = cut.gpa.bytes() / 4096;
    let data: Vec<u8> = (first..first + cut.count)
        .flat_map(|n| [byte(n); 4096])
        .collect();
    let data = match by_reference {
        true => Content::Image {
            name: ImageName::of_digest([7; 32]),
            offset: cut.gpa.bytes(),
        },
        false => Content::Data(data.into()),
    };
    let cut_name = CutName::new(name, cut, PageType::Normal, &data);
    Piece::new(cut_name, PageType::Normal, cut, data, held.any_of(cut))
}
