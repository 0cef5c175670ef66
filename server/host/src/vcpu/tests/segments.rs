//! Segments.

use super::*;

#[test]
fn numbers_of_16_bits_are_not_cut() {
    let wide = |selector, attributes| {
        Some(Segment {
            selector,
            attributes,
            ..Segment::default()
        })
    };
    refused(
        set(|r| r.fs = wide(0x10000, 0)),
        "registers.fs.selector",
        0x10000,
    );
    refused(
        set(|r| r.gs = wide(0, 0x1_0093)),
        "registers.gs.attributes",
        0x1_0093,
    );
    let table = Some(protocol::Table {
        base: 0,
        limit: 0x10000,
    });
    refused(set(|r| r.gdtr = table), "registers.gdtr.limit", 0x10000);
    refused(set(|r| r.idtr = table), "registers.idtr.limit", 0x10000);
}

#[test]
fn virtual_8086_mode_has_segments_of_its_own() {
    let virtual_8086 = |selector: u32| {
        Some(Segment {
            selector,
            attributes: 0xf3,
            limit: 0xffff,
            base: u64::from(selector) << 4,
        })
    };
    let registers = Set {
        rflags: 0x20000,
        cr0: 1,
        cs: virtual_8086(1),
        ds: virtual_8086(2),
        es: virtual_8086(3),
        fs: virtual_8086(4),
        gs: virtual_8086(5),
        ss: virtual_8086(6),
        ..Set::default()
    };
    let state_of = |change: fn(&mut Segment)| {
        let mut registers = registers.clone();
        change(registers.es.as_mut().unwrap());
        state(VcpuStart::Registers(Box::new(registers)))
    };
    passes(state_of(|_| ()), "as it is");
    refused(
        state_of(|es| es.attributes = 0x93),
        "registers.es.attributes",
        0x93,
    );
    refused(
        state_of(|es| es.limit = 0xfffe),
        "registers.es.limit",
        0xfffe,
    );
    refused(state_of(|es| es.base = 0), "registers.es.base", 0);
}

#[test]
fn code_is_code_and_of_one_width() {
    let cs = |attributes| set(move |r| r.cs = segment(attributes));
    refused(cs(0xe09b), "registers.cs.attributes", 0xe09b);
    refused(cs(0xa01b), "registers.cs.attributes", 0xa01b);
    refused(cs(0xa08b), "registers.cs.attributes", 0xa08b);
    refused(cs(0xa093), "registers.cs.attributes", 0xa093);
    refused(cs(0xab9b), "registers.cs.attributes", 0xab9b);
    refused(cs(0xa0fb), "registers.cs.attributes", 0xa0fb);
    passes(cs(0xc09b), "compatibility mode");
    passes(cs(0xa09f), "conforming");
    refused(
        flat_set(|r| r.cs = segment(0xa09b)),
        "registers.cs.attributes",
        0xa09b,
    );
    let small = |attributes| {
        Some(Segment {
            attributes,
            limit: 0xffff,
            ..Segment::default()
        })
    };
    passes(real_set(|r| r.cs = small(0x93)), "real mode runs from data");
    refused(
        flat_set(|r| r.cs = small(0x93)),
        "registers.cs.attributes",
        0x93,
    );
    refused(
        real_set(|r| r.cs = small(0x91)),
        "registers.cs.attributes",
        0x91,
    );
}

#[test]
fn privilege_levels_of_code_and_stack_agree() {
    let both = |cs, ss| {
        flat_set(move |r| {
            r.cs = segment(cs);
            r.ss = segment(ss);
        })
    };
    passes(both(0xc0fb, 0xc0f3), "ring 3");
    refused(both(0xc0fb, 0xc093), "registers.cs.attributes", 0xc0fb);
    refused(both(0xc09b, 0xc0f3), "registers.cs.attributes", 0xc09b);
    passes(both(0xc09f, 0xc0f3), "conforming code of ring 0");
    refused(both(0xc0ff, 0xc093), "registers.cs.attributes", 0xc0ff);
    refused(both(0xc0fb, 0), "registers.cs.attributes", 0xc0fb);
    let real = real_set(|r| {
        let level = |attributes| {
            Some(Segment {
                attributes,
                limit: 0xffff,
                ..Segment::default()
            })
        };
        r.cs = level(0xfb);
        r.ss = level(0xf3);
    });
    refused(real, "registers.ss.attributes", 0xf3);
}

#[test]
fn stacks_and_data_can_be_used_as_such_or_not_at_all() {
    let ss = |attributes| set(move |r| r.ss = segment(attributes));
    passes(ss(0), "unusable");
    passes(ss(0xc097), "expands down");
    refused(ss(0xc09b), "registers.ss.attributes", 0xc09b);
    refused(ss(0xc091), "registers.ss.attributes", 0xc091);
    refused(ss(0xc083), "registers.ss.attributes", 0xc083);
    let ds = |attributes| set(move |r| r.ds = segment(attributes));
    passes(ds(0xc09b), "code that can be read");
    passes(ds(0xc091), "data that cannot be written");
    passes(ds(0), "unusable");
    refused(ds(0xc099), "registers.ds.attributes", 0xc099);
    refused(ds(0xc083), "registers.ds.attributes", 0xc083);
}

#[test]
fn limits_and_granularity_agree() {
    let es = |attributes, limit| {
        set(move |r| {
            r.es = Some(Segment {
                attributes,
                limit,
                ..Segment::default()
            });
        })
    };
    passes(es(0x93, 0xf_ffff), "as it is");
    passes(es(0x8093, 0xfff), "as it is");
    refused(es(0x93, 0x10_0000), "registers.es.limit", 0x10_0000);
    refused(es(0x8093, 0x10_0000), "registers.es.limit", 0x10_0000);
    passes(es(0x8000, 1), "unusable");
}

#[test]
fn a_processor_has_a_task_and_may_have_a_local_table() {
    let small = |selector, attributes| {
        Some(Segment {
            selector,
            attributes,
            limit: 0x67,
            base: 0,
        })
    };
    let tr = |selector, attributes| set(move |r| r.tr = small(selector, attributes));
    passes(tr(0x28, 0x8b), "as it is");
    refused(tr(0x28, 0x89), "registers.tr.attributes", 0x89);
    refused(tr(0x28, 0x83), "registers.tr.attributes", 0x83);
    passes(flat_set(|r| r.tr = small(0x28, 0x83)), "16 bits");
    refused(tr(0, 0), "registers.tr.attributes", 0);
    refused(tr(0, 0x9b), "registers.tr.attributes", 0x9b);
    refused(tr(0x2c, 0x8b), "registers.tr.selector", 0x2c);
    let ldtr = |selector, attributes| set(move |r| r.ldtr = small(selector, attributes));
    passes(ldtr(0x30, 0x82), "as it is");
    passes(ldtr(4, 0), "unusable");
    refused(ldtr(0x30, 0x83), "registers.ldtr.attributes", 0x83);
    refused(ldtr(0x34, 0x82), "registers.ldtr.selector", 0x34);
}
