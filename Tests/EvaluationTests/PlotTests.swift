import Foundation
import FoundationXML
import Testing

@testable import Evaluation

@Suite struct PlotTests {
    @Test(
        "lines across enclose the values, are few and evenly spaced, and shares end at one",
        arguments: [(0.0, 1.0), (0.83, 0.95), (0.5, 0.5), (0, 7.68), (0, 1927.1), (0.991, 1), (0, 3e12)])
    func steps(low: Double, high: Double) throws {
        let steps = Plot.steps(from: low, to: high, limit: high <= 1 ? 1 : .infinity)
        let (first, last) = (try #require(steps.first), try #require(steps.last))
        #expect((2...8).contains(steps.count) && first <= low + 1e-9 && last >= high - 1e-9, "\(steps)")
        let size = steps[1] - steps[0]
        #expect(zip(steps, steps.dropFirst()).allSatisfy { abs($1 - $0 - size) < 1e-9 * max(1, size) })
        if high <= 1, low < high { #expect(last <= 1 + 1e-9) }
    }

    @Test(
        "lines up lie within the values and there are enough of them",
        arguments: [(1.0, 64.0), (0.9, 290), (3.06, 6.29), (0.14, 0.24), (1e-3, 1e6), (100, 101), (0.1, 900)])
    func ticks(low: Double, high: Double) {
        let ticks = Plot.ticks(from: low, to: high)
        #expect((2...10).contains(ticks.count) && ticks.allSatisfy { (low...high).contains($0) }, "\(ticks)")
    }

    @Test("times to the first token are drawn as a curve for each stage, with numbers of visual tokens across")
    func firstToken() {
        var plot = FirstTokenPlot(title: "First token")
        plot.add("all", [(1, 5), (64, 20.25)])
        plot.add("prompt", [(1, 2), (64, 17)])
        #expect(XMLParser(data: Data(plot.svg.utf8)).parse())
        #expect(plot.svg.components(separatedBy: "<polyline").count == 3)
        #expect(plot.svg.contains(">visual tokens</text>") && plot.svg.contains("64 visual tokens: 20.2 ms"))
    }

    @Test("a plot as a file is sound XML with its own colours, and names its curves if there are several")
    func file() {
        let points: [(x: Double, y: Double, lower: Double?, upper: Double?, label: String)] = [
            (1, 0.5, 0.4, 0.6, "<&>"), (64, 0.8, nil, nil, "'"),
        ]
        for names in [["one"], ["a & b", "<two>"]] {
            let series = names.map { Plot.Series(name: $0, points: points) }
            let file = Plot(title: "a \"b\" & c", xTitle: "m", series: series, isShare: true).file
            #expect(XMLParser(data: Data(file.utf8)).parse(), "\(file)")
            #expect(file.contains("prefers-color-scheme: dark"))
            for name in names { #expect(file.contains(">\(name.escaped)</text>") == (names.count > 1)) }
        }
    }

    @Test("every point and interval is drawn inside the picture")
    func inside() throws {
        let points = [1.0, 2, 40, 144].map {
            x -> (x: Double, y: Double, lower: Double?, upper: Double?, label: String) in
            let lower: Double = x / 200
            return (x: x, y: lower + 0.2, lower: lower, upper: lower + 0.25, label: "<&>")
        }
        let plot = Plot(
            title: "a \"b\"", xTitle: "m",
            series: [
                Plot.Series(name: "one", points: points),
                Plot.Series(name: "two", points: [(x: 8, y: 0.9, lower: nil, upper: nil, label: "")]),
            ], isShare: true)
        let circles = plot.svg.matches(of: #/<circle cx="([0-9.]+)" cy="([0-9.]+)"/#)
        #expect(circles.count == 5)
        let (xs, ys) = (circles.compactMap { Double($0.1) }, circles.compactMap { Double($0.2) })
        #expect(xs.allSatisfy { (46...368).contains($0) } && ys.allSatisfy { (12...228).contains($0) }, "\(xs) \(ys)")
        // More is further to the right, and higher up.
        #expect(Array(xs.prefix(4)) == xs.prefix(4).sorted() && Array(ys.prefix(4)) == ys.prefix(4).sorted(by: >))
        #expect(plot.svg.contains("&lt;&amp;&gt;") && plot.svg.contains("a &quot;b&quot;"))
        #expect(Plot(title: "", xTitle: "", series: [], isShare: true).svg == "")
    }

    @Test("the loss of runs is drawn as means over neighbouring steps, and a line that was cut off is passed over")
    func lossCurves() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "curves-\(UUID())")
        defer { try? FileManager.default.removeItem(at: directory) }
        func write(_ name: String, _ log: String) throws -> String {
            let run = directory.appending(path: name)
            try FileManager.default.createDirectory(at: run, withIntermediateDirectories: true)
            try Data(log.utf8).write(to: run.appending(path: "log.jsonl"))
            return run.path
        }
        let lines = (1...160).map { #"{"step": \#($0), "loss": \#(Double($0 % 2) + 1)}"# }
        let a = try write("a", lines.joined(separator: "\n") + "\n{\"step\": 161, \"lo")
        let b = try write("b", #"{"step": 1, "loss": 3}"#)
        let svg = try LossCurves(runs: [a, b]).svg
        #expect(XMLParser(data: Data(svg.utf8)).parse())
        let curves = svg.matches(of: #/polyline points="([^"]*)"/#).map { $0.1.split(separator: " ") }
        #expect(curves.map(\.count) == [80, 1])
        // Every mean is 1.5.
        #expect(Set(try #require(curves.first).map { $0.split(separator: ",")[1] }).count == 1)
        #expect(throws: EvaluationError.noSteps(path: directory.appending(path: "c/log.jsonl").path)) {
            try LossCurves(runs: [write("c", "")])
        }
        let error = try #require(throws: EvaluationError.self) { try LossCurves(runs: ["/nowhere"]) }
        #expect("\(error)".contains("/nowhere/log.jsonl"))
    }
}

@Suite struct SweepNameTests {
    @Test("models are called by as much of their paths as tells them apart, and numbered where nothing does")
    func names() {
        #expect(SweepReport.names(of: ["/runs/a", "/runs/b"]) == ["a", "b"])
        #expect(SweepReport.names(of: ["/runs/a/model", "/runs/b/model"]) == ["a/model", "b/model"])
        #expect(SweepReport.names(of: ["/x/model", "/y/other"]) == ["model", "other"])
        #expect(SweepReport.names(of: ["/a", "/b/a", "/a"]) == ["a (1)", "a (2)", "a (3)"])
    }
}
