//! What replicas write, however they write it.

use crate::support::{Case, eventually};
use samovar_native::Stream;

#[tokio::test]
async fn lines_are_told_apart_by_stream() {
    let program = "
os.write(1, b'out\\n')
os.write(2, b'err \\xff\\n')
os.write(1, b'no end')
os.close(1)
serve()";
    let running = Case::python(program).start().await;
    running.output.after("no end").await;
    let mut lines = running.end().await.lines();
    lines.sort_by(|one, other| one.2.cmp(&other.2));
    let expected = [
        (0, Stream::Stderr, "err \u{fffd}".to_owned()),
        (0, Stream::Stdout, "no end".to_owned()),
        (0, Stream::Stdout, "out".to_owned()),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn flood_is_cut_and_counted() {
    let program = "
listener = listen()
block = b''.join(b'flood %d\\n' % n for n in range(20000))
for _ in range(20): os.write(1, block)
os.write(2, b'done\\n')
serve(listener=listener)";
    let running = Case::python(program).start().await;
    let is_told = || running.output.notes().into_iter().find(|note| note.ends_with("left out"));
    let note = eventually("it is told", is_told).await;
    assert!(note.contains(','), "{note}");
    let output = running.end().await;
    let count = |note: &String| {
        let digits = note.strip_suffix(" lines left out").unwrap_or("1");
        digits.replace(',', "").parse::<usize>().unwrap()
    };
    let notes = output.notes();
    let left_out = notes.iter().filter(|note| note.ends_with("left out")).map(count);
    let left_out: usize = left_out.sum();
    let lines = output.lines().len();
    // Everything is accounted for: 20 blocks of 20,000, and the last one.
    assert_eq!(lines + left_out, 400_000 + 1);
    assert!(left_out > lines);
}

#[tokio::test]
async fn last_words_are_known_after_a_flood() {
    let program = "
block = b''.join(b'flood %d\\n' % n for n in range(20000))
for _ in range(5): os.write(2, block)
sys.exit('the end of it')";
    let (failure, _) = Case::python(program).fail().await;
    assert!(failure.to_string().ends_with("the end of it"), "{failure}");
}

#[tokio::test]
async fn endless_line_is_cut() {
    let program = "
os.write(1, b'x' * 100000)
serve()";
    let running = Case::python(program).start().await;
    let is_there = || {
        let lines = running.output.lines();
        let bytes: usize = lines.iter().map(|(_, _, text)| text.len()).sum();
        assert!(lines.iter().all(|(_, _, text)| text.len() <= 8192));
        (bytes > 90_000).then_some(())
    };
    eventually("most of it is there", is_there).await;
    running.end().await;
}
