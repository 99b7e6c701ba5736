//! Which deployment a path belongs to.

use std::collections::BTreeMap;

/// Routes by path prefix: the longest prefix wins, and a prefix ends at a segment.
///
/// Finding takes one look-up per segment of the path, and no more than the deepest prefix has, so
/// it does not depend on how many routes there are.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    /// By prefix, without a slash at the end; the root is the empty string.
    prefixes: BTreeMap<String, T>,
    /// Segments of the deepest prefix.
    depth_max: usize,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { prefixes: BTreeMap::new(), depth_max: 0 }
    }
}

impl<T> Routes<T> {
    /// Routes for these prefixes. Each starts with `/`; a slash at the end does not count.
    pub fn new(prefixes: impl IntoIterator<Item = (String, T)>) -> Self {
        let prefixes: BTreeMap<String, T> = prefixes
            .into_iter()
            .map(|(prefix, to)| (prefix.trim_end_matches('/').to_owned(), to))
            .collect();
        let depth_max = prefixes.keys().map(|prefix| prefix.matches('/').count()).max();
        Self { prefixes, depth_max: depth_max.unwrap_or(0) }
    }

    /// These routes and one more, or another target for one of them.
    pub fn with(&self, prefix: &str, to: T) -> Self
    where
        T: Clone,
    {
        let mut more = self.clone();
        let prefix = prefix.trim_end_matches('/');
        more.depth_max = more.depth_max.max(prefix.matches('/').count());
        more.prefixes.insert(prefix.to_owned(), to);
        more
    }

    /// The target for `path`, and how many bytes of `path` its prefix takes.
    pub fn find(&self, path: &str) -> Option<(&T, usize)> {
        // Where the path's first `depth_max` segments end, the whole path included.
        let ends = path.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'/');
        let mut end = ends.map(|(at, _)| at).nth(self.depth_max.saturating_sub(1));
        if self.depth_max == 0 {
            end = Some(0);
        }
        let mut prefix = &path[..end.unwrap_or(path.len())];
        loop {
            if let Some(to) = self.prefixes.get(prefix) {
                return Some((to, prefix.len()));
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_more_route_is_as_if_it_had_been_there() {
        let more = routes().with("/x/y/z/", 9).with("/a", 8);
        assert_eq!(more.find("/x/y/z/q"), Some((&9, 6)));
        assert_eq!(more.find("/a/c"), Some((&8, 2)));
        assert_eq!(more.find("/a/b"), Some((&2, 4)));
    }

    fn routes() -> Routes<u32> {
        Routes::new([
            ("/a".to_owned(), 1),
            ("/a/b".to_owned(), 2),
            ("/ab".to_owned(), 3),
            ("/c/".to_owned(), 4),
        ])
    }

    #[test]
    fn the_longest_prefix_wins() {
        assert_eq!(routes().find("/a/b/c"), Some((&2, 4)));
        assert_eq!(routes().find("/a/bc"), Some((&1, 2)));
        assert_eq!(routes().find("/a"), Some((&1, 2)));
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        assert_eq!(routes().find("/abc"), None);
        assert_eq!(routes().find("/ab"), Some((&3, 3)));
        assert_eq!(routes().find("/c/d"), Some((&4, 2)));
    }

    #[test]
    fn a_slash_at_the_end_is_another_empty_segment() {
        assert_eq!(routes().find("/c/"), Some((&4, 2)));
        assert_eq!(routes().find("/a/b/"), Some((&2, 4)));
    }

    #[test]
    fn no_routes_find_nothing() {
        assert_eq!(Routes::<u32>::default().find("/a"), None);
        assert_eq!(Routes::<u32>::new([]).find("/"), None);
    }

    proptest! {
        #[test]
        fn finding_agrees_with_trying_every_prefix(
            prefixes in proptest::collection::vec("(/[ab]{1,2}){0,3}/?", 0..6),
            path in "(/[ab]{0,2}){1,5}",
        ) {
            let routes = Routes::new(prefixes.iter().map(|prefix| (prefix.clone(), ())));
            let trimmed = prefixes.iter().map(|prefix| prefix.trim_end_matches('/'));
            let fits = trimmed.filter(|prefix| {
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            let expected = fits.map(str::len).max();
            prop_assert_eq!(routes.find(&path).map(|(_, taken)| taken), expected);
        }
    }

    #[test]
    fn the_root_takes_the_rest() {
        let routes = Routes::new([("/".to_owned(), 9), ("/a".to_owned(), 1)]);
        assert_eq!(routes.find("/x/y"), Some((&9, 0)));
        assert_eq!(routes.find("/a/y"), Some((&1, 2)));
    }
}
