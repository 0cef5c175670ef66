//! Where a listener is in all that a guest wrote. Pure.
//!
//! **Invariant:** no byte is given twice, and each is at the offset at which the guest wrote it.

use bytes::Bytes;
use stagepages_proto::v1::{AttachConsoleResponse, ConsoleOutput};

use super::Event;

/// How far a listener has come.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Bytes of output that were given, or are known to be missed.
    at: u64,
}

impl Place {
    /// What is new in `answer`. After a new attachment much of it may be known.
    pub(super) fn news(&mut self, answer: AttachConsoleResponse) -> Vec<Event> {
        let mut events = Vec::new();
        let mut offset = answer.offset;
        for ConsoleOutput { port, data } in answer.output {
            let end = offset.saturating_add(data.len() as u64);
            if end > self.at {
                if offset > self.at {
                    let bytes = offset - self.at;
                    events.push(Event::Missed { bytes });
                }
                let known = usize::try_from(self.at.saturating_sub(offset)).unwrap_or(usize::MAX);
                let data: Bytes = data.slice(known.min(data.len())..);
                events.push(Event::Output {
                    offset: end - data.len() as u64,
                    port,
                    data,
                });
                self.at = end;
            }
            offset = end;
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use stagepages_proto::v1::ConsolePort;

    use super::*;

    const SERIAL: i32 = ConsolePort::Serial as i32;
    const DEBUG: i32 = ConsolePort::Debug as i32;

    fn answer(offset: u64, output: &[(i32, &'static str)]) -> AttachConsoleResponse {
        let output = output.iter().map(|(port, text)| ConsoleOutput {
            port: *port,
            data: Bytes::from_static(text.as_bytes()),
        });
        AttachConsoleResponse {
            offset,
            output: output.collect(),
        }
    }

    fn output(offset: u64, port: i32, data: &'static str) -> Event {
        Event::Output {
            offset,
            port,
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    #[test]
    fn an_attachment_from_the_start_gives_everything() {
        let mut place = Place::default();
        let events = place.news(answer(0, &[(SERIAL, "ab"), (DEBUG, "c")]));
        assert_eq!(events, [output(0, SERIAL, "ab"), output(2, DEBUG, "c")]);
        assert_eq!(
            place.news(answer(3, &[(SERIAL, "d")])),
            [output(3, SERIAL, "d")]
        );
    }

    #[test]
    fn what_was_forgotten_before_is_told_as_missed() {
        let mut place = Place::default();
        assert_eq!(
            place.news(answer(10, &[(SERIAL, "k")])),
            [Event::Missed { bytes: 10 }, output(10, SERIAL, "k")]
        );
        assert_eq!(
            place.news(answer(12, &[(SERIAL, "m")])),
            [Event::Missed { bytes: 1 }, output(12, SERIAL, "m")]
        );
    }

    #[test]
    fn after_a_new_attachment_only_what_is_new_is_given() {
        let mut place = Place::default();
        place.news(answer(0, &[(SERIAL, "abcd")]));
        assert_eq!(place.news(answer(0, &[(SERIAL, "ab"), (DEBUG, "")])), []);
        assert_eq!(
            place.news(answer(2, &[(SERIAL, "cdef"), (DEBUG, "g")])),
            [output(4, SERIAL, "ef"), output(6, DEBUG, "g")]
        );
    }

    #[test]
    fn offsets_beyond_all_bounds_do_no_harm() {
        let mut place = Place::default();
        place.news(answer(u64::MAX, &[(SERIAL, "ab")]));
        assert_eq!(place.news(answer(0, &[(SERIAL, "a")])), []);
    }
}
