use super::*;
use crate::codec::tests::{BitWriter, Token, survive_damage, tokens};

/// All 512 code words have nine bits: a word is its symbol.
pub(crate) fn encode(tokens: &[Token]) -> Vec<u8> {
    let mut writer = BitWriter::new(2);
    for token in tokens {
        match *token {
            Token::Literal(byte) => writer.bits(byte.into(), 9),
            Token::Copy { distance, length } => {
                let (log2, length) = (distance.ilog2(), length - COPY_MIN);
                writer.bits(256 | (log2 as usize) << 4 | length.min(LONG), 9);
                // In the order in which a reader takes them: bits that are ahead already, then bytes.
                let long = |writer: &mut BitWriter| match length {
                    ..LONG => {}
                    LONG..270 => writer.bytes(&[u8::try_from(length - LONG).unwrap()]),
                    _ => {
                        writer.bytes(&[0xff]);
                        writer.bytes(&u16::try_from(length).unwrap().to_le_bytes());
                    }
                };
                long(&mut writer);
                writer.bits(distance - (1 << log2), log2);
            }
        }
    }
    [vec![0x99; LENGTHS], writer.finish()].concat()
}

fn decoded(input: &[u8], len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0xee; len];
    decode(input, &mut out).map(|()| out)
}

#[test]
fn tokens_become_their_output() {
    for seed in 0..60 {
        let size = [1, 2, 3, 100, 4095, 4096, 8192, 16384, 32768, 65536][seed % 10];
        let (tokens, expected) = tokens(seed as u64, size, COPY_MIN, 5000);
        assert!(decoded(&encode(&tokens), size).unwrap() == expected, "seed {seed}");
    }
}

#[test]
fn a_run_of_one_byte_fills_the_largest_output() {
    let tokens = [Token::Literal(9), Token::Copy { distance: 1, length: MAX_OUTPUT - 1 }];
    assert!(decoded(&encode(&tokens), MAX_OUTPUT).unwrap() == vec![9; MAX_OUTPUT]);
    assert!(decode(&encode(&tokens), &mut vec![0; MAX_OUTPUT + 1]).is_err());
}

#[test]
fn nothing_decodes_into_nothing() {
    assert!(decoded(&[0x99; LENGTHS], 0).unwrap().is_empty());
}

#[test]
fn less_or_more_output_than_asked_for_is_an_error() {
    let (tokens, expected) = tokens(3, 4000, COPY_MIN, 100);
    let packed = encode(&tokens);
    assert!(decoded(&packed, expected.len()).is_ok());
    let copy = [Token::Literal(1), Token::Copy { distance: 1, length: 9 }];
    let error = decoded(&encode(&copy), 9).unwrap_err().to_string();
    assert!(error.contains("more data than its output"), "{error}");
    let error = decoded(&packed, 60_000).unwrap_err().to_string();
    assert!(error.contains("ends early"), "{error}");
}

#[test]
fn damaged_code_lengths_and_copies_are_errors() {
    let problem = |input: &[u8]| decoded(input, 10).unwrap_err().to_string();
    assert!(problem(&[0x99; 100]).contains("shorter than its code lengths"));
    assert!(problem(&[0x11; 300]).contains("too many words"));
    assert!(problem(&[0; 300]).contains("no code word"));
    let before = encode(&[Token::Literal(1), Token::Copy { distance: 2, length: 5 }]);
    assert!(problem(&before).contains("before the output"));
}

#[test]
fn damage_is_an_error_or_other_bytes() {
    let (tokens, _) = tokens(5, 700, COPY_MIN, 300);
    survive_damage(&encode(&tokens), 700, decode);
}
