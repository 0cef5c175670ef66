//! What is tried, by name.
//!
//! **Invariant:** what succeeds does no harm: the tests also let it succeed, with the sandbox off.

use std::ffi::{CStr, c_int, c_long};
use std::ptr;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crate::{errno, network};

/// Who started this process: asked at the start, for later the question itself may be denied.
static PARENT: AtomicI64 = AtomicI64::new(0);

/// Notes what attempts take that cannot be asked for any more when they are made.
pub(crate) fn prepare() {
    PARENT.store(call(libc::SYS_getppid, [0; 3]), Relaxed);
}

/// Reads `STAGEPAGES_INTRUDER`, without std: it may be in a handler of a signal.
pub(crate) fn chosen() -> Option<&'static CStr> {
    // SAFETY: reads the name, which ends in a zero byte. Nobody changes the environment of a program under test.
    let value = unsafe { libc::getenv(c"STAGEPAGES_INTRUDER".as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a variable's value ends in a zero byte, and stays where it is.
    Some(unsafe { CStr::from_ptr(value) })
}

/// Tries what was chosen, and says `intruder: NAME: done` or `intruder: NAME: errno N`.
pub(crate) fn make() {
    let Some(name) = chosen() else {
        return;
    };
    let made = attempt(name.to_bytes());
    let error = if made < 0 { errno() } else { 0 };
    say(b"intruder: ");
    say(name.to_bytes());
    if error == 0 {
        say(b": done\n");
    } else {
        // Without a formatter, which may allocate: errnos have three digits at most.
        let digits = [100, 10, 1].map(|unit| b'0' + u8::try_from(error / unit % 10).unwrap_or(0));
        say(b": errno ");
        say(&digits);
        say(b"\n");
    }
}

fn attempt(name: &[u8]) -> c_long {
    let port = port(name);
    match name.split(|byte| *byte == b':').next().unwrap_or(name) {
        b"open" => open(c"/etc/hostname"),
        b"open-kvm" => open(c"/dev/kvm"),
        b"socket" => network::socket(libc::SOCK_STREAM, 0),
        b"socket-udp" => network::socket(libc::SOCK_DGRAM, 0),
        b"socket-netlink" => call(libc::SYS_socket, [i64::from(libc::AF_NETLINK), STREAM, 0]),
        b"connect" => network::connect(0, port),
        b"connect-mptcp" => network::connect(libc::IPPROTO_MPTCP, port),
        b"fast-open" => network::fast_open(port),
        b"bind" => network::bind(port),
        b"listen" => network::listen(),
        // Of what is open already, and no socket.
        b"connect-open" => call(libc::SYS_connect, [2, 0, 0]),
        b"exec" => call(libc::SYS_execve, [address(c"/nowhere"), 0, 0]),
        // Of no process: whoever may make the call learns that there is none.
        b"ptrace" => call(libc::SYS_ptrace, [i64::from(libc::PTRACE_ATTACH), -1, 0]),
        // None at all, to its supervisor: only whether it could.
        b"signal" => call(libc::SYS_kill, [PARENT.load(Relaxed), 0, 0]),
        b"map-exec" => map(libc::PROT_READ | libc::PROT_EXEC),
        b"protect-exec" => match map(libc::PROT_READ) {
            -1 => -1,
            page => call(
                libc::SYS_mprotect,
                [page, 4096, i64::from(libc::PROT_READ | libc::PROT_EXEC)],
            ),
        },
        // TIOCGWINSZ, which neither list has, and which no descriptor here knows.
        b"ioctl" => call(libc::SYS_ioctl, [2, 0x5413, 0]),
        b"fork" => fork(),
        b"mount" => call(libc::SYS_umount2, [address(c"/nowhere"), 0, 0]),
        b"bpf" => call(libc::SYS_bpf, [-1, 0, 0]),
        b"io-uring" => call(libc::SYS_io_uring_setup, [0, 0, 0]),
        // A test that asks for what there is not must not pass for one that was denied it.
        _ => call(libc::SYS_exit_group, [77, 0, 0]),
    }
}

const STREAM: c_long = 1; // SOCK_STREAM

fn call(number: c_long, arguments: [c_long; 3]) -> c_long {
    let [first, second, third] = arguments;
    // SAFETY: the calls above take numbers, or names that end in a zero byte; none writes to memory of the program's.
    unsafe { libc::syscall(number, first, second, third, 0, 0, 0) }
}

fn address(text: &'static CStr) -> c_long {
    text.as_ptr()
        .expose_provenance()
        .cast_signed()
        .try_into()
        .unwrap_or(0)
}

fn open(path: &'static CStr) -> c_long {
    call(
        libc::SYS_openat,
        [
            i64::from(libc::AT_FDCWD),
            address(path),
            i64::from(libc::O_RDONLY | libc::O_CLOEXEC),
        ],
    )
}

/// What stands behind the colon of a name, such as `connect:80`; 1, where nobody listens, if nothing does.
fn port(name: &[u8]) -> u16 {
    let digits = name.iter().skip_while(|byte| **byte != b':').skip(1);
    digits
        .map(|digit| u16::from(digit.wrapping_sub(b'0')))
        .reduce(|port, digit| port.wrapping_mul(10).wrapping_add(digit))
        .unwrap_or(1)
}

fn map(protection: c_int) -> c_long {
    // SAFETY: makes a new mapping, wherever there is room.
    unsafe {
        libc::syscall(
            libc::SYS_mmap,
            ptr::null::<u8>(),
            4096_usize,
            protection,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0_i64,
        )
    }
}

/// A process that ends at once.
fn fork() -> c_long {
    let child = call(libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0]);
    if child == 0 {
        call(libc::SYS_exit_group, [0; 3]);
    }
    child
}

fn say(words: &[u8]) {
    // SAFETY: reads the bytes borrowed for the call. There is nobody to tell of a failure.
    let _written = unsafe { libc::write(2, words.as_ptr().cast(), words.len()) };
}
