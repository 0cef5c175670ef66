//! A launch host on a thread, and a daemon that speaks to it.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write as _,
    os::fd::{AsFd as _, BorrowedFd},
    path::PathBuf,
    thread::{self, JoinHandle},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use stagepages_host::{
    guest::GuestStop,
    launch::{Refusal, State},
    platform::PlatformKind,
    protocol::{
        Bye, Command, Console, ConsoleInput, Create, Finish, Hello, ListenConsole, Message,
        Outcome, Region, Reply, Request, Response, Snapshot, Stage, Start, StopGuest, VERSION,
        Vcpu, VcpuStart, page_type_number,
    },
    serve::{self, Builtin, Ended, HostConfig, Platforms},
    wire::{self, SeqListener, SeqSocket},
};
use stagepages_kvm::PageType;
use tempfile::TempDir;

/// How long a message may take, in milliseconds.
const PATIENCE: u16 = 60_000;

/// The memory of every guest: 64 KiB from address 0 on.
pub(crate) const MEMORY: u64 = 0x10000;

/// A launch host.
pub(crate) struct Host {
    dir: TempDir,
    thread: JoinHandle<std::io::Result<Ended>>,
}

/// A daemon's connection to it.
pub(crate) struct Daemon {
    socket: SeqSocket,
    requests: u64,
    /// What came beside answers, in order.
    pub(crate) told: VecDeque<Message>,
    /// How the launch was when the host last said so.
    pub(crate) snapshot: Option<Snapshot>,
}

impl Host {
    /// With the platforms of the library.
    pub(crate) fn new() -> Self {
        Self::with(|dir| Box::new(Builtin::new(dir)))
    }

    pub(crate) fn with(
        platforms: impl FnOnce(PathBuf) -> Box<dyn Platforms> + Send + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = SeqListener::bind(&dir.path().join("host")).unwrap();
        let runtime_dir = dir.path().to_owned();
        let thread = thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || {
                let config = HostConfig {
                    id: "test".to_owned(),
                    runtime_dir: runtime_dir.clone(),
                    chunk_pages: 64,
                    log: "info".to_owned(),
                    log_format: "text".to_owned(),
                };
                serve::run(listener, config, platforms(runtime_dir))
            });
        Self {
            dir,
            thread: thread.unwrap(),
        }
    }

    /// Greets it.
    pub(crate) fn daemon(&self, epoch: u64) -> Daemon {
        let socket = SeqSocket::connect(&self.dir.path().join("host")).unwrap();
        let mut daemon = Daemon {
            socket,
            requests: 0,
            told: VecDeque::new(),
            snapshot: None,
        };
        let hello = Hello {
            version: VERSION,
            epoch,
        };
        assert!(matches!(
            daemon.done(Command::Hello(hello)),
            Outcome::Welcome(_)
        ));
        daemon
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    pub(crate) fn ended(self) -> Ended {
        self.thread.join().unwrap().unwrap()
    }
}

impl Daemon {
    fn send(&mut self, command: Command, fds: &[BorrowedFd<'_>]) -> u64 {
        self.requests += 1;
        let request = Request {
            id: self.requests,
            command: Some(command),
            context: None,
        };
        let frame = wire::encode(&request).unwrap();
        self.socket.send(&frame, fds).unwrap();
        self.requests
    }

    /// The next message; `None` if the host hung up.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut socket, PollTimeout::from(PATIENCE)).unwrap();
        assert_eq!(
            ready, 1,
            "the host says nothing more; before: {:?}",
            self.told
        );
        let frame = self.socket.recv().unwrap()?;
        let reply: Reply = wire::decode(&frame.bytes).unwrap();
        let message = reply.message.unwrap();
        match &message {
            Message::Response(Response {
                snapshot: Some(now),
                ..
            })
            | Message::Progress(now) => self.snapshot = Some(now.clone()),
            Message::Response(_) | Message::Farewell(_) | Message::Console(_) => {}
        }
        Some(message)
    }

    /// The answer to a request; everything else that comes meanwhile is kept.
    pub(crate) fn answer(&mut self, id: u64) -> Result<Outcome, Refusal> {
        loop {
            let message = self.receive().unwrap();
            let Message::Response(Response {
                id: answered,
                outcome,
                ..
            }) = message
            else {
                self.told.push_back(message);
                continue;
            };
            if answered == id {
                let outcome = outcome.unwrap();
                return if let Outcome::Refused(refused) = outcome {
                    Err(refused.try_into().unwrap())
                } else {
                    Ok(outcome)
                };
            }
        }
    }

    pub(crate) fn post(&mut self, command: Command) -> u64 {
        self.send(command, &[])
    }

    pub(crate) fn call(&mut self, command: Command) -> Result<Outcome, Refusal> {
        let id = self.post(command);
        self.answer(id)
    }

    #[track_caller]
    pub(crate) fn done(&mut self, command: Command) -> Outcome {
        self.call(command).unwrap()
    }

    pub(crate) fn state(&self) -> State {
        State::from_number(self.snapshot.as_ref().unwrap().state).unwrap()
    }

    pub(crate) fn create(&mut self, create: Create) -> Result<Outcome, Refusal> {
        let staging = tempfile::tempfile().unwrap();
        let id = self.send(Command::Create(create), &[staging.as_fd()]);
        self.answer(id)
    }

    /// A launch on `kvm` with `vcpus` vCPUs, and these contents: each its page-aligned address, and its bytes.
    pub(crate) fn stage(&mut self, create: Create, parts: &[(u64, &[u8])]) {
        let mut staging: File = tempfile::tempfile().unwrap();
        let mut offset = 0;
        let mut stages = Vec::new();
        for (gpa, bytes) in parts {
            let mut bytes = bytes.to_vec();
            bytes.resize(bytes.len().next_multiple_of(0x1000), 0);
            staging.write_all(&bytes).unwrap();
            stages.push(Stage {
                gpa: *gpa,
                length: bytes.len() as u64,
                page_type: page_type_number(PageType::Normal),
                staging_offset: Some(offset),
                ..Stage::default()
            });
            offset += bytes.len() as u64;
        }
        let id = self.send(Command::Create(create), &[staging.as_fd()]);
        self.answer(id).unwrap();
        for stage in stages {
            self.done(Command::Stage(stage));
        }
    }

    pub(crate) fn finish(&mut self) {
        self.done(Command::Finish(Finish::default()));
    }

    pub(crate) fn start(&mut self) {
        self.done(Command::Start(Start {}));
    }

    pub(crate) fn stop(&mut self) -> Result<Outcome, Refusal> {
        self.call(Command::Stop(StopGuest {}))
    }

    pub(crate) fn listen(&mut self, offset: u64) {
        self.done(Command::ListenConsole(ListenConsole { offset }));
    }

    pub(crate) fn input(&mut self, data: &[u8]) {
        let data = data.to_vec();
        self.post(Command::ConsoleInput(ConsoleInput { data }));
    }

    /// Stages a guest in real mode, whose code is at 0x1000, and runs it while this daemon listens.
    pub(crate) fn run_real_mode(&mut self, code: &[u8]) {
        self.stage(kvm(vec![real_mode(0, 0x100)]), &[(0x1000, code)]);
        self.finish();
        self.listen(0);
        self.start();
    }

    /// The next thing that was told beside answers.
    pub(crate) fn next_told(&mut self) -> Message {
        loop {
            if let Some(message) = self.told.pop_front() {
                return message;
            }
            let message = self.receive().unwrap();
            if !matches!(message, Message::Response(_)) {
                return message;
            }
        }
    }

    /// Listens to the end of the guest: what it wrote, in order, and why it stopped.
    pub(crate) fn hear(&mut self) -> (Heard, GuestStop) {
        let mut heard = Heard::default();
        loop {
            match self.next_told() {
                Message::Console(console) => heard.add(&console),
                Message::Progress(Snapshot {
                    stop: Some(stop), ..
                }) => return (heard, stop.try_into().unwrap()),
                Message::Progress(_) => {}
                Message::Farewell(_) | Message::Response(_) => panic!("told before the end"),
            }
        }
    }

    /// Lets the host of an ended launch go.
    pub(crate) fn bye(&mut self) {
        self.done(Command::Bye(Bye {}));
    }
}

/// Console output as it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) serial: Vec<u8>,
    pub(crate) debug: Vec<u8>,
    /// How many bytes the guest wrote before the next one.
    pub(crate) offset: u64,
    /// Bytes that were not told.
    pub(crate) missed: u64,
    pub(crate) input_taken: u64,
}

impl Heard {
    pub(crate) fn add(&mut self, console: &Console) {
        assert!(console.offset >= self.offset, "told twice");
        self.missed += console.offset - self.offset;
        self.offset = console.offset;
        self.input_taken = console.input_taken;
        for run in &console.runs {
            self.offset += run.data.len() as u64;
            match run.port {
                1 => self.serial.extend(&run.data),
                2 => self.debug.extend(&run.data),
                port => panic!("console port {port}"),
            }
        }
    }
}

/// A launch on `kvm`.
pub(crate) fn kvm(vcpu_states: Vec<Vcpu>) -> Create {
    Create {
        platform: PlatformKind::Kvm.number(),
        regions: vec![Region {
            gpa: 0,
            size: MEMORY,
        }],
        vcpus: u32::try_from(vcpu_states.len().max(1)).unwrap(),
        vcpu_states,
        ..Create::default()
    }
}

/// vCPU `index` in real mode at `cs`:0.
pub(crate) fn real_mode(index: u32, cs: u32) -> Vcpu {
    let start = stagepages_host::protocol::RealMode {
        cs,
        ..Default::default()
    };
    Vcpu {
        index,
        start: Some(VcpuStart::RealMode(start)),
    }
}
