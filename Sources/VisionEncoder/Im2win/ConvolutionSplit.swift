/// How the work on one image is shared out: strips of output rows and, where those cannot be even, groups of filters.
struct ConvolutionSplit: Equatable {
    /// Output rows of a strip, and filters of a group.
    let rows, filters: Int
    /// Groups of filters.
    let groups: Int
    /// Strips times groups.
    let tasks: Int

    /// - Parameters:
    ///   - mostRows: rows of a strip whose windows still fit a cache.
    ///   - panelColumns: filters that are computed together.
    ///   - threads: those that share this image; 1 where each has images of its own.
    init(rows: Int, mostRows: Int, filters: Int, panelColumns: Int, threads: Int) {
        /// Rows of the busiest thread.
        func share(_ strip: Int) -> Int {
            let strips = (rows + strip - 1) / strip
            return (strips + threads - 1) / threads * strip
        }
        // The largest strips of those that are shared out best.
        let even = threads == 1 ? mostRows : (1...mostRows).reversed().min { share($0) < share($1) } ?? mostRows
        let panels = (filters + panelColumns - 1) / panelColumns
        // A tenth is more than windows cost that are laid out once for each group.
        let isEven = 10 * share(even) * threads <= 11 * rows || panels < threads || threads == 1
        self.rows = isEven ? even : mostRows
        let perGroup = isEven ? panels : (panels + threads - 1) / threads
        self.filters = perGroup * panelColumns
        groups = (panels + perGroup - 1) / perGroup
        tasks = (rows + self.rows - 1) / self.rows * groups
    }
}
