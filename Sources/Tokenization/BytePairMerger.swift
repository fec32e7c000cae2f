/// One run of byte-pair encoding over a text: characters merged into pieces, best score first.
///
/// The symbols form a linked list and the candidate merges a heap, so n bytes cost O(n log n) however long the pieces
/// grow. A candidate that an earlier merge has made stale is recognised when it comes up and skipped.
/// Source: google/sentencepiece, `src/bpe_model.cc`, `Model::SampleEncode` without sampling.
struct BytePairMerger {
    /// A run of bytes of the text; `count` is 0 once it has been merged into its left neighbour.
    private struct Symbol {
        var start: Int
        var count: Int
        var previous: Int
        var next: Int
        var isFrozen: Bool
    }

    /// A possible merge of two neighbours; `count` is the merged length, by which a stale one is told.
    /// Its 16 bytes matter: the heap is what a long text waits for.
    private struct Candidate {
        var score: Float
        var left: Int32
        var right: Int32
        var count: Int32

        /// Whether this merge comes first: the higher score, and the leftmost on ties.
        func precedes(_ other: Candidate) -> Bool {
            score > other.score || (score == other.score && left < other.left)
        }
    }

    /// Looks pieces up: the ids of mergeable ones, their scores, and which are to be split again.
    let vocabulary: PieceVocabulary
    private let text: [UInt8]
    private var symbols: [Symbol] = []
    private var heap: [Candidate] = []
    private var splits: [Int: Int] = [:]  // an unused piece -> the byte length of its left part

    /// Heap steps and piece lookups so far: what the cost of a run is measured by.
    private(set) var work = 0

    /// Prepares a run over normalised `text` of less than 2 GiB.
    init(_ text: [UInt8], vocabulary: PieceVocabulary) {
        precondition(text.count <= Int(Int32.max), "a text to encode must be shorter than 2 GiB")
        self.text = text
        self.vocabulary = vocabulary
        symbols.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            let whole = vocabulary.userDefined.isEmpty ? 0 : vocabulary.userDefined.longestMatch(in: text, at: position)
            let count =
                whole > 0 ? whole : min(UTF8Assembler.length(startingWith: text[position]), text.count - position)
            let index = symbols.count
            symbols.append(
                Symbol(start: position, count: count, previous: index - 1, next: index + 1, isFrozen: whole > 0))
            position += count
        }
        if !symbols.isEmpty { symbols[symbols.count - 1].next = -1 }
    }

    /// Merges until nothing can be, and returns the ranges of the resulting pieces in order.
    mutating func run() -> [Range<Int>] {
        heap.reserveCapacity(symbols.count)
        for index in symbols.indices.dropFirst() { propose(index - 1, index) }
        while let best = pop() {
            let (leftIndex, rightIndex) = (Int(best.left), Int(best.right))
            let left = symbols[leftIndex]
            let right = symbols[rightIndex]
            guard left.count > 0, right.count > 0, left.count + right.count == best.count else { continue }
            symbols[leftIndex].count = left.count + right.count
            symbols[leftIndex].next = right.next
            if right.next >= 0 { symbols[right.next].previous = leftIndex }
            symbols[rightIndex].count = 0
            propose(left.previous, leftIndex)
            propose(leftIndex, right.next)
        }
        return symbols.lazy.filter { $0.count > 0 }.flatMap { resegmented($0.start..<$0.start + $0.count) }
    }

    /// Adds the merge of two neighbours to the heap when the vocabulary holds the result.
    private mutating func propose(_ left: Int, _ right: Int) {
        guard left >= 0, right >= 0, !symbols[left].isFrozen, !symbols[right].isFrozen else { return }
        work += 1
        let start = symbols[left].start
        let count = symbols[left].count + symbols[right].count
        guard let id = vocabulary.mergeable.id(of: text, start..<start + count) else { return }
        push(Candidate(score: vocabulary.scores[id], left: Int32(left), right: Int32(right), count: Int32(count)))
        if vocabulary.isUnused[id] { splits[id] = symbols[left].count }
    }

    /// Splits a piece marked unused back into the parts it was merged from.
    private func resegmented(_ range: Range<Int>) -> [Range<Int>] {
        guard !splits.isEmpty else { return [range] }
        var result: [Range<Int>] = []
        var pending = [range]
        while let next = pending.popLast() {
            if let id = vocabulary.id(of: text, next), vocabulary.isUnused[id], let left = splits[id], left < next.count
            {
                pending.append(next.lowerBound + left..<next.upperBound)
                pending.append(next.lowerBound..<next.lowerBound + left)
            } else {
                result.append(next)
            }
        }
        return result
    }

    private mutating func push(_ candidate: Candidate) {
        heap.append(candidate)
        var child = heap.count - 1
        while child > 0, candidate.precedes(heap[(child - 1) / 2]) {
            heap[child] = heap[(child - 1) / 2]
            child = (child - 1) / 2
            work += 1
        }
        heap[child] = candidate
    }

    private mutating func pop() -> Candidate? {
        guard let best = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return best }
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
            guard heap[child].precedes(last) else { break }
            heap[parent] = heap[child]
            parent = child
            work += 1
        }
        heap[parent] = last
        return best
    }
}
