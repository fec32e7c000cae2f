/// Decides which neighbouring symbols of a text merge, and in what order.
protocol MergeRules {
    /// The score of a merge, the highest merged first; nil where the two do not merge.
    mutating func score(_ left: MergeSymbol, _ right: MergeSymbol) -> Float?

    /// The id that the symbol formed by a merge of this score carries.
    func mergedID(score: Float) -> Int32
}

/// A run of bytes of the text being merged; `count` is 0 once it has been merged into its left neighbour.
struct MergeSymbol {
    var start: Int
    var count: Int
    var previous: Int
    var next: Int
    /// What the merge rules know the symbol by; negative for one that never merges.
    var id: Int32

    /// The bytes of the text that the symbol stands for.
    var range: Range<Int> { start..<start + count }
}

/// One run of byte-pair encoding: neighbours merged, best score first and the leftmost on ties, until none can be.
///
/// The symbols form a linked list and the candidate merges a heap, so n symbols cost O(n log n) however long the results
/// grow. A candidate that an earlier merge has made stale is recognised when it comes up and skipped.
struct SymbolMerger<Rules: MergeRules> {
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

    /// What merges.
    var rules: Rules
    private var symbols: [MergeSymbol] = []
    private var heap: [Candidate] = []

    /// Heap steps and merge lookups so far: what the cost of a run is measured by.
    private(set) var work = 0

    init(_ rules: Rules) { self.rules = rules }

    /// Makes room for `count` symbols.
    mutating func reserve(_ count: Int) { symbols.reserveCapacity(count) }

    /// Adds a symbol behind the others.
    mutating func append(start: Int, count: Int, id: Int32) {
        let index = symbols.count
        if index > 0 { symbols[index - 1].next = index }
        symbols.append(MergeSymbol(start: start, count: count, previous: index - 1, next: -1, id: id))
    }

    /// Merges until nothing can be, gives the remaining symbols in order to `body`, and forgets them.
    mutating func run(_ body: (MergeSymbol) -> Void) {
        heap.reserveCapacity(symbols.count)
        for index in symbols.indices.dropFirst() { propose(index - 1, index) }
        while let best = pop() {
            let (leftIndex, rightIndex) = (Int(best.left), Int(best.right))
            let left = symbols[leftIndex]
            let right = symbols[rightIndex]
            guard left.count > 0, right.count > 0, left.count + right.count == best.count else { continue }
            symbols[leftIndex].count = left.count + right.count
            symbols[leftIndex].next = right.next
            symbols[leftIndex].id = rules.mergedID(score: best.score)
            if right.next >= 0 { symbols[right.next].previous = leftIndex }
            symbols[rightIndex].count = 0
            propose(left.previous, leftIndex)
            propose(leftIndex, right.next)
        }
        for symbol in symbols where symbol.count > 0 { body(symbol) }
        symbols.removeAll(keepingCapacity: true)
    }

    /// Adds the merge of two neighbours to the heap when the rules know it.
    private mutating func propose(_ left: Int, _ right: Int) {
        guard left >= 0, right >= 0, symbols[left].id >= 0, symbols[right].id >= 0 else { return }
        work += 1
        guard let score = rules.score(symbols[left], symbols[right]) else { return }
        let count = symbols[left].count + symbols[right].count
        push(Candidate(score: score, left: Int32(left), right: Int32(right), count: Int32(count)))
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
