//! The ports of a guest.
//!
//! | port | | |
//! |---|---|---|
//! | 0x3f8–0x3ff | a 16550A | output to the console, input from it |
//! | 0xe9 | debug port | output to the console; reads 0xe9, by which a guest knows that it is there |
//! | 0xf4 | isa-debug-exit | what is written, of 1, 2 or 4 bytes, is the exit code |
//! | 0x64 | keyboard controller | 0xfe is a reset |
//! | 0x604 | PM1a control, where QEMU's Q35 has it | soft-off (SLP_EN, sleep type 0) is a shutdown |
//!
//! All others read as ones and ignore writes. An access of several bytes goes to as many ports, as on a PC.
//!
//! **Invariant:** no access waits, but for another vCPU's.

mod serial;

use std::sync::Arc;

use super::ending::Ending;
use crate::{console::Console, guest::ConsolePort};
use serial::SerialPort;

const SERIAL: u16 = 0x3f8;
const SERIAL_LAST: u16 = 0x3ff;
const DEBUG: u16 = 0xe9;
const DEBUG_EXIT: u16 = 0xf4;
const KEYBOARD: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
const PM1A_CONTROL: u16 = 0x604;
/// SLP_EN and the sleep type, of which 0 is soft-off.
const SLEEP: u32 = 0x3c00;
const SLEEP_ENABLE: u32 = 0x2000;

/// The devices of one guest, shared by its vCPUs.
#[derive(Debug)]
pub(super) struct Devices {
    serial: SerialPort,
    console: Arc<Console>,
}

impl Devices {
    pub(super) fn new(console: Arc<Console>) -> Self {
        Self {
            serial: SerialPort::new(Arc::clone(&console)),
            console,
        }
    }

    /// The guest writes elements of `size` bytes to `port`; says how it ends, if that ends it.
    pub(super) fn write(&self, port: u16, size: u8, data: &[u8]) -> Option<Ending> {
        data.chunks_exact(usize::from(size.max(1)))
            .find_map(|element| self.write_one(port, element))
    }

    fn write_one(&self, port: u16, element: &[u8]) -> Option<Ending> {
        let value = element
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
        match port {
            DEBUG_EXIT => return Some(Ending::ExitCode(value)),
            PM1A_CONTROL if element.len() > 1 && value & SLEEP == SLEEP_ENABLE => {
                return Some(Ending::shutdown("ACPI soft-off, port 0x604"));
            }
            _ => {}
        }
        (port..=u16::MAX)
            .zip(element)
            .find_map(|(port, byte)| match port {
                SERIAL..=SERIAL_LAST => {
                    self.serial.write(port - SERIAL, *byte);
                    None
                }
                DEBUG => {
                    self.console.write(ConsolePort::Debug, &[*byte]);
                    None
                }
                KEYBOARD if *byte == KEYBOARD_RESET => Some(Ending::shutdown(
                    "reset by the keyboard controller, port 0x64",
                )),
                _ => None,
            })
    }

    /// The guest reads elements of `size` bytes from `port`.
    pub(super) fn read(&self, port: u16, size: u8, data: &mut [u8]) {
        for element in data.chunks_exact_mut(usize::from(size.max(1))) {
            // Nothing is behind the last port.
            element.fill(0xff);
            for (port, byte) in (port..=u16::MAX).zip(element) {
                *byte = match port {
                    SERIAL..=SERIAL_LAST => self.serial.read(port - SERIAL),
                    DEBUG => 0xe9,
                    _ => 0xff,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{console::Cursor, guest::StopReason};

    fn devices() -> (Devices, Arc<Console>) {
        let console = Arc::new(Console::default());
        console.open();
        (Devices::new(Arc::clone(&console)), console)
    }

    fn written(console: &Console) -> Vec<(u32, Vec<u8>)> {
        let message = console.next(&mut Cursor::new(0)).unwrap();
        message
            .runs
            .into_iter()
            .map(|run| (run.port, run.data))
            .collect()
    }

    fn read(devices: &Devices, port: u16, size: u8) -> Vec<u8> {
        let mut data = vec![0x5a; size.into()];
        devices.read(port, size, &mut data);
        data
    }

    #[test]
    fn both_ports_write_to_the_console_in_order() {
        let (devices, console) = devices();
        assert_eq!(devices.write(0x3f8, 1, b"ab"), None);
        assert_eq!(devices.write(0xe9, 1, b"c"), None);
        assert_eq!(devices.write(0x3f8, 1, b"d"), None);
        assert_eq!(
            written(&console),
            [(1, b"ab".to_vec()), (2, b"c".to_vec()), (1, b"d".to_vec())]
        );
    }

    #[test]
    fn the_serial_port_gives_what_was_sent_and_says_when_there_is_something() {
        let (devices, console) = devices();
        assert_eq!(
            read(&devices, 0x3fd, 1),
            [0x60],
            "nothing to read, room to write"
        );
        console.offer(1, b"hi").unwrap();
        assert_eq!(read(&devices, 0x3fd, 1), [0x61]);
        assert_eq!(read(&devices, 0x3f8, 1), b"h");
        assert_eq!(read(&devices, 0x3f8, 1), b"i");
        assert_eq!(read(&devices, 0x3fd, 1), [0x60]);
    }

    #[test]
    fn more_input_than_the_fifo_holds_follows_as_it_is_read() {
        let (devices, console) = devices();
        let sent: Vec<u8> = (0..200).collect();
        console.offer(1, &sent).unwrap();
        let mut got = Vec::new();
        while read(&devices, 0x3fd, 1) == [0x61] {
            got.extend(read(&devices, 0x3f8, 1));
        }
        assert_eq!(got, sent);
    }

    #[test]
    fn a_port_without_a_device_reads_as_ones() {
        let (devices, _) = devices();
        assert_eq!(read(&devices, 0x70, 4), [0xff; 4]);
        assert_eq!(read(&devices, 0xe9, 1), [0xe9]);
        assert_eq!(read(&devices, 0xffff, 2), [0xff; 2], "behind the last port");
        assert_eq!(devices.write(0xffff, 4, &[0xfe; 4]), None);
    }

    #[test]
    fn an_exit_code_has_the_size_of_its_access() {
        let (devices, _) = devices();
        for (data, code) in [
            (&[0x7f][..], 0x7f),
            (&[0x34, 0x12], 0x1234),
            (&[0x78, 0x56, 0x34, 0x12], 0x1234_5678),
        ] {
            let size = u8::try_from(data.len()).unwrap();
            assert_eq!(
                devices.write(0xf4, size, data),
                Some(Ending::ExitCode(code))
            );
        }
    }

    #[test]
    fn a_pc_is_turned_off_in_two_ways_and_not_by_anything_else() {
        let (devices, _) = devices();
        let reason = |ending: Option<Ending>| ending.map(|ending| ending.reason());
        assert_eq!(
            reason(devices.write(0x64, 1, &[0xfe])),
            Some(StopReason::Shutdown)
        );
        assert_eq!(
            reason(devices.write(0x604, 2, &[0, 0x20])),
            Some(StopReason::Shutdown)
        );
        assert_eq!(devices.write(0x64, 1, &[0xd1]), None);
        assert_eq!(
            devices.write(0x604, 2, &[0, 0x24]),
            None,
            "another sleep type"
        );
        assert_eq!(devices.write(0x604, 1, &[0x20]), None);
    }
}
