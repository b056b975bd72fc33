use proptest::prelude::*;

use super::*;

const SECRET: Secret = *b"sixteen  secrets";

/// A batch as the engine writes it.
fn written(items: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend((items.len() as u32).to_le_bytes());
    bytes.extend(7_u64.to_le_bytes());
    let start = bytes.len();
    for (key, value) in items {
        bytes.extend([2, 0, 0]);
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend((key.len() as u16).to_le_bytes());
        bytes.extend([(value.len() as u32).to_le_bytes(); 2].concat());
        bytes.extend([*key, *value].concat());
    }
    let mut checksum = Xxh3Default::new();
    checksum.update(&bytes[start..]);
    bytes.push(3);
    bytes.extend(checksum.digest().to_le_bytes());
    bytes.extend(*b"FJL\x03");
    bytes
}

fn commit(mark: &[u8], value: &[u8]) -> Vec<u8> {
    written(&[(mark, &SECRET), (b"\0\0\0\0\0\0\0\x05key", value)])
}

/// The batch without the page in its middle.
fn torn(mut batch: Vec<u8>) -> Vec<u8> {
    let middle = batch.len() / 2;
    batch[middle - 20..middle].fill(0);
    batch
}

#[test]
fn a_commit_behind_damage_tells_whether_the_damaged_was_synced() {
    let first = commit(SYNCED_KEY, b"first");
    for (mark, rest) in [(SYNCED_KEY, Rest::Damaged), (UNSYNCED_KEY, Rest::Torn)] {
        let journal = [first.clone(), torn(commit(SYNCED_KEY, b"second")), commit(mark, b"third")].concat();
        assert_eq!(read(&journal, Some(&SECRET)), Reading { intact: first.len(), rest });
    }
    let zeros = [first.clone(), vec![0; 5000]].concat();
    assert_eq!(read(&zeros, Some(&SECRET)), Reading { intact: first.len(), rest: Rest::Nothing });
}

#[test]
fn a_value_that_looks_like_a_commit_proves_nothing() {
    let other: Secret = *b"what one guesses";
    let forged = [
        written(&[(b"k", b"")]),
        written(&[(SYNCED_KEY, b"")]),
        written(&[(SYNCED_KEY, &other)]),
        written(&[(b"\0\0\0\0\0\0\0\x05key", &SECRET)]),
    ];
    for forged in forged {
        let journal = torn(commit(SYNCED_KEY, &[vec![9; 400], forged.clone()].concat()));
        let reading = read(&journal, Some(&SECRET));
        assert_eq!(reading, Reading { intact: 0, rest: Rest::Torn }, "{forged:?}");
    }
}

#[test]
fn without_a_secret_batches_are_searched_for_as_they_were_written_then() {
    let old = |mark: &[(&[u8], &[u8])]| written(&[mark, &[(b"key", &[8; 60][..])]].concat());
    for (mark, rest) in [(&[][..], Rest::Damaged), (&[(UNSYNCED_KEY, &b""[..])][..], Rest::Torn)] {
        let journal = [old(&[]), torn(old(&[])), old(mark)].concat();
        assert_eq!(read(&journal, None).rest, rest);
    }
}

#[test]
fn another_version_of_the_format_is_noticed() {
    let mut next = commit(SYNCED_KEY, b"value");
    *next.last_mut().unwrap() = 4;
    let journal = [commit(SYNCED_KEY, b"first"), next].concat();
    assert_eq!(read(&journal, Some(&SECRET)).rest, Rest::Foreign(4));
}

/// Starts of batches, each of which claims everything that follows.
fn hostile(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        bytes.extend([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(0_u16.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(((len - bytes.len()).saturating_sub(30) as u32).to_le_bytes());
    }
    bytes
}

#[test]
fn what_is_made_to_take_long_does_not() {
    // A search from each start to its end would read 10^11 bytes.
    let journal = hostile(4 << 20);
    assert_ne!(read(&journal, Some(&SECRET)).rest, Rest::Damaged);
    assert_ne!(read(&journal, None).rest, Rest::Damaged);
}

proptest! {
    #[test]
    fn whatever_is_in_it_is_read_to_its_end(
        commits in proptest::collection::vec((any::<bool>(), any::<Vec<u8>>()), 0..6),
        rest in any::<Vec<u8>>(),
    ) {
        let whole: Vec<u8> = commits
            .iter()
            .flat_map(|(synced, value)| commit(if *synced { SYNCED_KEY } else { UNSYNCED_KEY }, value))
            .collect();
        let reading = read(&[whole.clone(), rest].concat(), Some(&SECRET));
        prop_assert!(reading.intact >= whole.len());
        prop_assert!(!matches!(reading.rest, Rest::Damaged), "nobody but us knows the secret");
    }
}
