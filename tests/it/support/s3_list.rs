//! `ListObjectsV2`: what a request asks, which keys a page holds, and the page as the real service would send it.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Response, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    loopback::{Body, Counter, Ending, body},
    s3_wire::{Failure, Fault, Object},
};

/// Most keys of one page, whatever is asked.
const MOST_KEYS: usize = 1000;

/// What `encoding-type=url` leaves as it is; a space becomes `+`.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

/// How a store that is not quite S3 lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As S3 does.
    #[default]
    True,
    /// Every page is the first one, whatever token is sent.
    IgnoresTokens,
    /// `start-after` changes nothing.
    IgnoresStartAfter,
    /// Keys come in another order, as from a directory bucket.
    Unordered,
}

/// What one request asks.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    pub prefix: String,
    pub start_after: Option<String>,
    pub continuation_token: Option<String>,
    pub max_keys: Option<String>,
    /// Keys come percent-encoded.
    pub url_encoded: bool,
}

impl ListQuery {
    /// Reads the query of an address; `None` when it is not `list-type=2`.
    pub fn parse(uri: &Uri) -> Option<Self> {
        let pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let query: HashMap<&str, String> = pairs.map(|(name, value)| (name, decode(value))).collect();
        let get = |name: &str| query.get(name).cloned();
        (get("list-type")? == "2").then(|| Self {
            prefix: get("prefix").unwrap_or_default(),
            start_after: get("start-after"),
            continuation_token: get("continuation-token"),
            max_keys: get("max-keys"),
            url_encoded: get("encoding-type").is_some_and(|kind| kind == "url"),
        })
    }

    /// The key after which the page begins. A token wins over `start-after`, as in S3.
    fn after(&self, dialect: Dialect) -> Result<String, Failure> {
        if dialect == Dialect::IgnoresTokens
            || (dialect == Dialect::IgnoresStartAfter && self.continuation_token.is_none())
        {
            return Ok(String::new());
        }
        let Some(token) = &self.continuation_token else { return Ok(self.start_after.clone().unwrap_or_default()) };
        let bytes = STANDARD.decode(token).map_err(|_| Failure::BAD_TOKEN)?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::BAD_TOKEN)?;
        text.strip_prefix("after>?").map(str::to_owned).ok_or(Failure::BAD_TOKEN)
    }

    /// The page that it asks for, of a bucket with these objects.
    pub fn page(
        &self,
        objects: &HashMap<String, Vec<Object>>,
        page_size: usize,
        dialect: Dialect,
    ) -> Result<Page, Failure> {
        let asked =
            self.max_keys.as_ref().map_or(Ok(MOST_KEYS), |most| most.parse().map_err(|_| Failure::BAD_MAX_KEYS))?;
        let most = asked.min(page_size).min(MOST_KEYS);
        let after = self.after(dialect)?;
        let mut found: Vec<(&String, &Object)> = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&self.prefix) && **key > after)
            .filter_map(|(key, versions)| Some((key, versions.last()?)))
            .collect();
        found.sort_unstable_by_key(|(key, _)| key.as_bytes());
        let is_truncated = found.len() > most && most > 0;
        found.truncate(most);
        if dialect == Dialect::Unordered {
            found.reverse();
        }
        let last = found.iter().map(|(key, _)| key.to_string()).max();
        let objects = found.into_iter().map(|(key, object)| (key.clone(), object.clone())).collect();
        Ok(Page { query: self.clone(), most, next_after: last.filter(|_| is_truncated), objects })
    }
}

/// One page of keys.
pub struct Page {
    query: ListQuery,
    most: usize,
    /// The key after which the next page begins; `None` on the last page.
    next_after: Option<String>,
    objects: Vec<(String, Object)>,
}

impl Page {
    /// Whether the key is on it.
    pub fn holds(&self, key: &str) -> bool {
        self.objects.iter().any(|(held, _)| held == key)
    }

    /// The answer, with what `fault` does to its body.
    pub fn response(&self, bucket: &str, fault: Option<&Fault>, abandoned: &Counter) -> Response<Body> {
        let xml = Bytes::from(self.xml(bucket));
        let head = Response::builder()
            .header("content-type", "application/xml")
            .header("content-length", xml.len())
            .header("x-amz-request-id", "4442587FB7D0A2F9")
            .header("server", "AmazonS3");
        let half = xml.slice(..xml.len() / 2);
        head.body(match fault {
            Some(Fault::Cut) => body(half, Ending::Cut),
            Some(Fault::HangInBody) => body(half, Ending::Hang(abandoned.on_drop())),
            _ => body(xml, Ending::Complete),
        })
        .unwrap()
    }

    fn xml(&self, bucket: &str) -> String {
        let spell = |text: &str| if self.query.url_encoded { url(text) } else { escape(text) };
        let element = |name: &str, text: Option<String>| text.map(|text| format!("<{name}>{text}</{name}>"));
        let token = self.next_after.as_ref().map(|key| STANDARD.encode(format!("after>?{key}")));
        let optional = [
            element("ContinuationToken", self.query.continuation_token.clone()),
            element("NextContinuationToken", token),
            element("StartAfter", self.query.start_after.as_deref().map(spell)),
            element("EncodingType", self.query.url_encoded.then(|| "url".to_owned())),
        ];
        let contents = self.objects.iter().map(|(key, object)| {
            let (key, etag, size) = (spell(key), escape(&object.etag), object.bytes.len());
            format!(
                "<Contents><Key>{key}</Key><LastModified>2026-07-01T12:00:00.000Z</LastModified><ETag>{etag}</ETag>\
                 <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        });
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name><Prefix>{}</Prefix>{}<KeyCount>{}</KeyCount>\
             <MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>{}</ListBucketResult>",
            escape(bucket),
            spell(&self.query.prefix),
            optional.into_iter().flatten().collect::<String>(),
            self.objects.len(),
            self.most,
            self.next_after.is_some(),
            contents.collect::<String>(),
        )
    }
}

fn url(text: &str) -> String {
    utf8_percent_encode(text, &PLAIN).to_string().replace(' ', "+")
}

/// XML text. Control characters become references that XML 1.0 does not allow, as the real service sends them.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, character| {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            character if character.is_control() => out.push_str(&format!("&#x{:x};", u32::from(character))),
            character => out.push(character),
        }
        out
    })
}
