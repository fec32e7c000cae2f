/// A set of byte strings that finds the longest one standing at a place of a text.
///
/// Used for user-defined pieces, which SentencePiece takes whole, and for the literal tokens that Hugging Face's slow
/// tokenizers cut out before anything else.
struct PrefixTree: Sendable {
    private var children: [UInt64: Int] = [:]  // (node << 8 | byte) -> node
    private var isEntry = [false]

    /// Whether the set is empty.
    var isEmpty: Bool { children.isEmpty }

    /// A set of the UTF-8 bytes of `strings`; empty strings are left out.
    init(_ strings: some Sequence<String>) {
        for string in strings where !string.isEmpty {
            var node = 0
            for byte in string.utf8 {
                let key = UInt64(node) << 8 | UInt64(byte)
                if let child = children[key] {
                    node = child
                } else {
                    children[key] = isEntry.count
                    node = isEntry.count
                    isEntry.append(false)
                }
            }
            isEntry[node] = true
        }
    }

    /// The length of the longest entry that `text` holds at `position`, ending no later than `end`; 0 when none does.
    /// O(longest entry).
    func longestMatch(in text: [UInt8], at position: Int, end: Int? = nil) -> Int {
        let end = end ?? text.count
        var node = 0
        var longest = 0
        var index = position
        while index < end, let child = children[UInt64(node) << 8 | UInt64(text[index])] {
            node = child
            index += 1
            if isEntry[node] { longest = index - position }
        }
        return longest
    }
}
