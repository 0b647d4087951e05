//! One HTTP/1.1 request over a stream, and its answer: as much of RFC 9112 as the join port uses.
//!
//! The connection closes after the answer, so the answer ends where `Content-Length` says, and
//! what comes in pieces (`Transfer-Encoding`) is refused: the join port never sends it.
//! It knows nothing of what the bodies mean.

use std::io::{self, Read, Write};

/// The largest answer in bytes, head included.
const LARGEST: usize = 1024 * 1024;
/// The most header fields of an answer.
const FIELDS: usize = 64;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends a POST with a JSON body and reads the answer.
pub(crate) fn post(
    stream: &mut (impl Read + Write),
    host: &str,
    path: &str,
    body: &[u8],
) -> io::Result<Answer> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    stream.flush()?;
    read(stream)
}

pub(crate) fn read(stream: &mut impl Read) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8 * 1024];
    loop {
        if let Some(answer) = parse(&bytes)? {
            return Ok(answer);
        }
        if bytes.len() > LARGEST {
            return Err(invalid("the answer is larger than 1 MiB"));
        }
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The answer, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(start) = head
        .parse(bytes)
        .map_err(|e| invalid(format!("the answer is not HTTP: {e}")))?
    else {
        return Ok(None);
    };
    let length = head
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<usize>().ok())
        .filter(|length| *length <= LARGEST)
        .ok_or_else(|| invalid("the answer does not say how long it is, or is too long"))?;
    Ok(bytes.get(start..start + length).map(|body| Answer {
        status: head.code.unwrap_or(0),
        body: body.to_vec(),
    }))
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno";

    #[test]
    fn an_answer_is_read_once_it_is_whole() {
        for end in 0..ANSWER.len() {
            let mut cut = &ANSWER[..end];
            let error = read(&mut cut).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
        let answer = read(&mut &ANSWER[..]).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (403, &b"no"[..]));
    }

    #[test]
    fn an_answer_without_an_end_is_refused() {
        let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let huge = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n";
        for bytes in [&endless[..], &huge[..], &b"SSH-2.0-x\r\n"[..]] {
            let error = read(&mut &bytes[..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
