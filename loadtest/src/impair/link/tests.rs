//! The impairment of a link: its delay, loss, order and rate are what the seed says.

use super::*;

/// Packets of `len` bytes, one every `gap_us`, through a new link.
fn verdicts(config: &LinkConfig, seed: u64, count: u64, gap_us: u64, len: usize) -> Vec<Verdict> {
    let mut link = Link::new(config.clone(), seed);
    (0..count).map(|i| link.offer(i * gap_us, len)).collect()
}

fn arrivals(verdicts: &[Verdict]) -> Vec<u64> {
    verdicts
        .iter()
        .filter_map(|verdict| match *verdict {
            Verdict::DeliverAt(at_us) | Verdict::DeliverTwice(at_us) => Some(at_us),
            Verdict::Drop(_) => None,
        })
        .collect()
}

fn rate(bits_per_s: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: NonZeroU64::new(bits_per_s),
        ..LinkConfig::default()
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_default_link_does_nothing() {
    for (i, verdict) in verdicts(&LinkConfig::default(), 1, 100, 7, 1_200)
        .iter()
        .enumerate()
    {
        assert_eq!(*verdict, Verdict::DeliverAt(i as u64 * 7));
    }
}

#[test]
fn a_delay_is_added_exactly() {
    let config = LinkConfig::delayed(millis(50));
    assert_eq!(
        arrivals(&verdicts(&config, 1, 3, 10, 100)),
        [50_000, 50_010, 50_020]
    );
}

#[test]
fn jitter_spreads_evenly_within_its_bounds_and_keeps_order() {
    let seed = 11;
    let config = LinkConfig {
        jitter: millis(5),
        ..LinkConfig::delayed(millis(50))
    };
    // Further apart than the jitter, so that no packet waits for the one before it.
    let late: Vec<u64> = arrivals(&verdicts(&config, seed, 2_000, 20_000, 100))
        .iter()
        .enumerate()
        .map(|(i, at_us)| at_us - i as u64 * 20_000)
        .collect();
    assert!(
        late.iter().all(|us| (45_000..=55_000).contains(us)),
        "seed {seed}"
    );
    let mean = late.iter().sum::<u64>() / late.len() as u64;
    assert!((49_700..50_300).contains(&mean), "seed {seed}: mean {mean}");
    assert!(late.iter().any(|us| *us < 45_500), "seed {seed}");
    assert!(late.iter().any(|us| *us > 54_500), "seed {seed}");

    let close = arrivals(&verdicts(&config, seed, 2_000, 100, 100));
    assert!(close.is_sorted(), "seed {seed}");
}

#[test]
fn jitter_larger_than_the_delay_never_delivers_before_sending() {
    let config = LinkConfig {
        jitter: millis(9),
        ..LinkConfig::delayed(millis(1))
    };
    for (i, at_us) in arrivals(&verdicts(&config, 3, 500, 1_000_000, 1))
        .iter()
        .enumerate()
    {
        assert!(*at_us >= i as u64 * 1_000_000);
    }
}

#[test]
fn loss_is_as_frequent_as_asked_and_the_same_for_a_seed() {
    let config = LinkConfig {
        loss: 0.02,
        ..LinkConfig::default()
    };
    let first = verdicts(&config, 7, 50_000, 1, 1_200);
    let lost = first
        .iter()
        .filter(|v| **v == Verdict::Drop(DropReason::Loss))
        .count();
    assert!((900..1_100).contains(&lost), "seed 7 lost {lost} of 50000");
    assert_eq!(first, verdicts(&config, 7, 50_000, 1, 1_200));
    assert_ne!(first, verdicts(&config, 8, 50_000, 1, 1_200));
}

#[test]
fn the_packets_that_a_seed_loses_do_not_depend_on_other_settings() {
    let plain = LinkConfig {
        loss: 0.1,
        ..LinkConfig::default()
    };
    let busy = LinkConfig {
        jitter: millis(3),
        reorder: 0.2,
        duplicate: 0.2,
        ..LinkConfig {
            loss: 0.1,
            ..rate(1_000_000_000)
        }
    };
    let is_lost = |verdicts: Vec<Verdict>| -> Vec<bool> {
        verdicts
            .iter()
            .map(|v| *v == Verdict::Drop(DropReason::Loss))
            .collect()
    };
    let expected = is_lost(verdicts(&plain, 21, 5_000, 50, 500));
    assert_eq!(is_lost(verdicts(&busy, 21, 5_000, 50, 500)), expected);
}

#[test]
fn certain_loss_loses_all_and_no_loss_none() {
    let all = LinkConfig {
        loss: 1.0,
        ..LinkConfig::default()
    };
    assert!(arrivals(&verdicts(&all, 1, 1_000, 1, 1)).is_empty());
    assert_eq!(
        arrivals(&verdicts(&LinkConfig::default(), 1, 1_000, 1, 1)).len(),
        1_000
    );
}

#[test]
fn a_reordered_packet_is_overtaken_by_those_sent_during_its_detour() {
    let seed = 4;
    let config = LinkConfig {
        reorder: 0.05,
        ..LinkConfig::delayed(millis(20))
    };
    let verdicts = verdicts(&config, seed, 4_000, 1_000, 100);
    let late: Vec<u64> = arrivals(&verdicts)
        .iter()
        .enumerate()
        .map(|(i, at_us)| at_us - i as u64 * 1_000)
        .collect();
    let detours = late.iter().filter(|us| **us == 30_000).count();
    assert_eq!(
        late.iter().filter(|us| **us == 20_000).count() + detours,
        4_000,
        "seed {seed}"
    );
    assert!((150..250).contains(&detours), "seed {seed}: {detours}");
}

#[test]
fn duplicates_are_as_frequent_as_asked_and_counted() {
    let seed = 9;
    let mut link = Link::new(
        LinkConfig {
            duplicate: 0.1,
            ..LinkConfig::default()
        },
        seed,
    );
    let twice = (0..10_000)
        .filter(|i| link.offer(*i, 1) == Verdict::DeliverTwice(*i))
        .count();
    assert!((900..1_100).contains(&twice), "seed {seed}: {twice}");
    assert_eq!(link.counters().duplicated, twice as u64);
    assert_eq!(link.counters().packets_in, 10_000);
}

#[test]
fn a_rate_limit_lets_through_its_rate_after_the_burst() {
    // 8 Mbit/s is one byte a microsecond. 1000 packets offered at once.
    let config = LinkConfig {
        queue_bytes: 10_000_000,
        ..rate(8_000_000)
    };
    let arrivals = arrivals(&verdicts(&config, 1, 1_000, 0, 1_000));
    // The burst of 3000 bytes goes at once; from there on a packet a millisecond.
    assert_eq!(arrivals[..3], [0, 0, 0]);
    assert_eq!(arrivals[3], 1_000);
    assert_eq!(arrivals[999], 997_000);
}

#[test]
fn a_full_queue_drops_and_drains_at_the_rate() {
    let config = LinkConfig {
        queue_bytes: 10_000,
        ..rate(8_000_000)
    };
    let mut link = Link::new(config, 1);
    let mut offer = |now_us| link.offer(now_us, 1_000);
    let passed = (0..50)
        .filter(|_| matches!(offer(0), Verdict::DeliverAt(_)))
        .count();
    // Three of the burst and ten that wait.
    assert_eq!(passed, 13);
    assert_eq!(offer(999), Verdict::Drop(DropReason::QueueFull));
    assert_eq!(offer(1_000), Verdict::DeliverAt(11_000));
    assert_eq!(offer(1_000), Verdict::Drop(DropReason::QueueFull));
    assert_eq!(link.counters().dropped_queue, 39);
}

#[test]
fn a_packet_longer_than_the_queue_passes_an_empty_one() {
    let config = LinkConfig {
        queue_bytes: 100,
        burst_bytes: 0,
        ..rate(8_000_000)
    };
    let mut link = Link::new(config, 1);
    assert_eq!(link.offer(0, 1_500), Verdict::DeliverAt(1_500));
    assert_eq!(
        link.offer(1_400, 1_500),
        Verdict::Drop(DropReason::QueueFull)
    );
    assert_eq!(link.offer(1_500, 1_500), Verdict::DeliverAt(3_000));
}

#[test]
fn the_rate_holds_at_every_speed_and_packet_size() {
    let mut rng = Rng::new(99);
    for round in 0..200 {
        let bits_per_s = 1_000 + rng.next_u64() % 10_000_000_000;
        let len = 1 + (rng.next_u64() % 1_500) as usize;
        let config = LinkConfig {
            queue_bytes: u64::MAX,
            burst_bytes: 0,
            ..rate(bits_per_s)
        };
        let last_us = *arrivals(&verdicts(&config, 1, 500, 0, len)).last().unwrap();
        let expected_us = (500 * len) as f64 * 8e6 / bits_per_s as f64;
        // Each packet rounds up to a nanosecond, the sum to a microsecond.
        let error_us = last_us as f64 - expected_us;
        assert!(
            (0.0..2.0).contains(&error_us),
            "seed 99 round {round}: {error_us}"
        );
    }
}

#[test]
fn nothing_enters_a_blackhole_and_all_else_passes() {
    let window = Window {
        from_us: 100,
        to_us: 200,
    };
    let config = LinkConfig {
        blackholes: vec![window],
        ..LinkConfig::delayed(millis(1))
    };
    let mut link = Link::new(config, 1);
    assert_eq!(link.offer(99, 1), Verdict::DeliverAt(1_099));
    assert_eq!(link.offer(100, 1), Verdict::Drop(DropReason::Blackhole));
    assert_eq!(link.offer(199, 1), Verdict::Drop(DropReason::Blackhole));
    assert_eq!(link.offer(200, 1), Verdict::DeliverAt(1_200));
    assert_eq!(link.counters().dropped_blackhole, 2);
}

#[test]
fn a_stream_waits_out_a_blackhole_through_touching_windows() {
    let windows = [(300, 400), (100, 300)].map(|(from_us, to_us)| Window { from_us, to_us });
    let config = LinkConfig {
        blackholes: windows.to_vec(),
        ..LinkConfig::default()
    };
    let link = Link::new(config, 1);
    assert_eq!(link.stream_opens_us(50), 50);
    assert_eq!(link.stream_opens_us(100), 400);
    assert_eq!(link.stream_opens_us(400), 400);
    assert_eq!(
        Link::new(LinkConfig::blackhole(), 1).stream_opens_us(5),
        u64::MAX
    );
}

#[test]
fn a_stream_is_read_only_as_fast_as_its_queue_drains_and_loses_nothing() {
    let config = LinkConfig {
        queue_bytes: 5_000,
        loss: 1.0,
        ..rate(8_000_000)
    };
    let mut link = Link::new(config, 1);
    let (mut now_us, mut last_us) = (0, 0);
    for _ in 0..100 {
        now_us = link.stream_opens_us(now_us);
        assert_eq!(
            link.stream_opens_us(now_us),
            now_us,
            "opens when it says so"
        );
        let at_us = link.offer_segment(now_us, 1_000);
        assert!(
            at_us >= last_us && at_us - now_us <= 6_000,
            "at {at_us}, offered {now_us}"
        );
        last_us = at_us;
    }
    assert_eq!(last_us, 97_000);
}

#[test]
fn a_changed_link_does_not_hold_packets_back_for_those_under_way() {
    let mut link = Link::new(LinkConfig::delayed(millis(500)), 1);
    assert_eq!(link.offer(0, 1), Verdict::DeliverAt(500_000));
    link.set_config(LinkConfig::delayed(millis(5)));
    assert_eq!(link.offer(1_000, 1), Verdict::DeliverAt(6_000));

    let mut slow = Link::new(
        LinkConfig {
            queue_bytes: u64::MAX,
            ..rate(8)
        },
        1,
    );
    let _ = slow.offer(0, 1_000_000);
    slow.set_config(rate(8_000_000));
    assert_eq!(slow.offer(10, 1_000), Verdict::DeliverAt(10));
}

#[test]
fn no_configuration_overflows() {
    let mut rng = Rng::new(77);
    for _ in 0..2_000 {
        let mut any = || rng.next_u64() >> (rng.next_u64() % 64);
        let config = LinkConfig {
            delay: Duration::from_secs(any()),
            jitter: Duration::from_secs(any()),
            loss: 0.0,
            reorder: 0.5,
            reorder_delay: Duration::from_secs(any()),
            duplicate: 0.5,
            rate_bps: NonZeroU64::new(any()),
            burst_bytes: any(),
            queue_bytes: any(),
            blackholes: vec![Window {
                from_us: any(),
                to_us: any(),
            }],
        };
        // The bucket counts nanoseconds, of which a u64 holds 584 years.
        let (mut link, start_us) = (Link::new(config, any()), any() >> 10);
        for i in 0..4 {
            let now_us = start_us.saturating_add(i);
            let _ = link.offer(now_us, 1_500);
            assert!(link.stream_opens_us(now_us) >= now_us);
            assert!(link.offer_segment(now_us, 1_500) >= now_us);
        }
    }
}
