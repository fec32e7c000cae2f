import Testing

@testable import VisionEncoder

@Suite("Sharing out a convolution")
struct ConvolutionSplitTests {
    @Test("strips and groups cover every row and filter once, and strips fit their cache")
    func covers() {
        for rows in 1...60 {
            for (mostRows, filters, panelColumns, threads) in [
                (17, 96, 32, 2), (3, 64, 32, 4), (60, 40, 16, 3), (1, 512, 32, 1),
            ] {
                let split = ConvolutionSplit(
                    rows: rows, mostRows: mostRows, filters: filters, panelColumns: panelColumns, threads: threads)
                let strips = (rows + split.rows - 1) / split.rows
                #expect(split.rows >= 1 && split.rows <= mostRows && split.filters % panelColumns == 0)
                #expect(split.tasks == strips * split.groups)
                #expect((split.groups - 1) * split.filters < filters && split.groups * split.filters >= filters)
            }
        }
    }

    @Test("the busiest of two threads has no tenth more than its half")
    func even() {
        for rows in 1...60 {
            let split = ConvolutionSplit(rows: rows, mostRows: 12, filters: 512, panelColumns: 32, threads: 2)
            // Tasks are handed out in their order, each to the thread that is free first.
            var busy = [0, 0]
            for task in 0..<split.tasks {
                let height = min(split.rows, rows - task / split.groups * split.rows)
                busy[busy[0] <= busy[1] ? 0 : 1] += height * split.filters
            }
            #expect(10 * busy.max()! <= 11 * rows * 512 / 2, "\(rows) rows: \(busy), \(split)")
        }
    }

    @Test("a layer of few rows is shared out by its filters")
    func fewRows() {
        let split = ConvolutionSplit(rows: 5, mostRows: 12, filters: 512, panelColumns: 32, threads: 2)
        #expect(split.groups == 2 && split.filters == 256 && split.tasks == 2)
    }
}
