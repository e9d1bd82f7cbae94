//! Floods over HTTP/2 end their own connection and nobody else's.

use std::{sync::mpsc, thread, time::Duration};

use super::{
    secure::{
        CANCEL, CONTINUATION, END_HEADERS, END_STREAM, Ending, Frames, HEADERS, RST_STREAM, block, frame,
        plane, request, wait_for_count,
    },
    support::{Application, Event, Guest, PATIENCE},
};

#[test]
fn a_header_list_beyond_its_limit_is_431_and_a_far_larger_one_the_end() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let mut good = Frames::open(&running);
    let piece = "a".repeat(15_000);
    for (pieces, ended) in [(3, false), (12, true)] {
        let mut frames = Frames::open(&running);
        frames.send(HEADERS, END_STREAM, 1, &block(&request("GET", "/bad", &[])));
        for n in 1..=pieces {
            let flags = if n == pieces { END_HEADERS } else { 0 };
            if !frames.try_send(&frame(CONTINUATION, flags, 1, &block(&[("x", &piece)]))) {
                break;
            }
        }
        let ending = frames.ending(1);
        let told = matches!(ending, Ending::Answered(431, _) | Ending::Reset(_, Some(431)));
        assert!(if ended { matches!(ending, Ending::Closed(_)) } else { told }, "{ending:?}");
    }
    assert_eq!(good.get("/good").status(), 200);
    assert!(!application.received().contains("/bad"));
}

#[test]
fn a_flood_of_continuations_ends_its_connection() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let mut frames = Frames::open(&running);
    frames.send(HEADERS, 0, 1, &block(&request("GET", "/bad", &[])));
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(100);
    let sent = (0..1000).take_while(|_| frames.try_send(&empty)).count();
    assert!(sent < 1000 || frames.is_closed_within(PATIENCE), "100,000 continuations and no end");
    assert_eq!(Frames::open(&running).get("/good").status(), 200);
    drop(frames);
    wait_for_count(&running, "refused_requests", "http2_protocol", 1);
    assert!(!application.received().contains("/bad"));
}

/// CVE-2023-44487.
#[test]
fn a_flood_of_resets_ends_its_connection_while_others_are_served() {
    let application = Application::mirror();
    let running = plane(application.address, |_, _| {});
    let (stop, stopped) = mpsc::channel::<()>();
    let mut good = Frames::open(&running);
    let visitor = thread::spawn(move || {
        let mut answered = 0;
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            assert_eq!(good.get("/good").status(), 200);
            answered += 1;
        }
        answered
    });
    let head = block(&request("GET", "/flood", &[]));
    for _ in 0..3 {
        let mut flood = Frames::open(&running);
        let mut sent = 0;
        for first in (1..20_000_u32).step_by(200) {
            let begun_and_taken_back = (first..first + 200).step_by(2).flat_map(|stream| {
                let reset = frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
                [frame(HEADERS, END_STREAM | END_HEADERS, stream, &head), reset].concat()
            });
            if !flood.try_send(&begun_and_taken_back.collect::<Vec<_>>()) {
                break;
            }
            sent += 100;
        }
        assert!(sent < 10_000 || flood.is_closed_within(PATIENCE), "10,000 resets and no end");
    }
    stop.send(()).unwrap();
    assert!(visitor.join().unwrap() > 0);
    let reached = application.received().matches("/flood").count();
    assert!(reached < 3 * 150, "{reached} of 30,000 reached the application");
    wait_for_count(&running, "refused_requests", "http2_protocol", 3);
}

/// The patient kind: each request is let through to the application before it is taken back.
#[test]
fn requests_taken_back_one_by_one_end_their_connection_too() {
    let application = Application::run(Guest::read_to_end);
    let running = plane(application.address, |_, _| {});
    let mut frames = Frames::open(&running);
    let mut begun = 0;
    while begun < 400 {
        let stream = frames.begin(&request("GET", "/slow", &[]), END_STREAM);
        begun += 1;
        application.wait_for(|events| {
            events.iter().filter(|event| matches!(event, Event::Received(..))).count() >= begun || begun > 201
        });
        if !frames.try_send(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())) {
            break;
        }
        if begun > 201 && frames.is_closed_within(Duration::from_millis(100)) {
            break;
        }
    }
    assert!((201..250).contains(&begun), "{begun}");
    wait_for_count(&running, "refused_requests", "http2_resets", 1);
}
