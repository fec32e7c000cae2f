import Bytes
import Foundation
import ModelFiles
public import Tensors
public import Testing

/// Compares results with a golden stage by the stage's own tolerances, and keeps count.
///
/// Every tensor of the files that were opened must be compared, read as an input, or set aside with a reason; one that
/// was overlooked fails the stage, and so does a stage that compared nothing.
public final class GoldenReport {
    private let stage: GoldenStage
    private var cases = 0
    private var worst: (ratio: Double, name: String) = (0, "-")
    private var open: [String: Set<String>] = [:]

    /// A report on one stage.
    public init(_ stage: GoldenStage) { self.stage = stage }

    /// The tensors of a data file; from now on each of them has to be accounted for.
    public func data(_ file: String) throws -> [String: Tensor] {
        open[file] = Set(stage.comparable(file))
        return try stage.tensors(file)
    }

    /// Notes that a tensor of a file was used as an input.
    public func input(_ file: String, _ names: String...) {
        for name in names { open[file]?.remove(name) }
    }

    /// Sets aside the tensors whose names match, because they belong to something the suite does not run yet.
    public func setAside(_ file: String, where matches: (String) -> Bool) {
        open[file] = open[file]?.filter { !matches($0) }
    }

    /// Compares a result with the tensor of that name; extents of 1 may differ in front.
    public func check(
        _ file: String, _ name: String, _ got: Tensor?, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        guard let expected = try stage.tensors(file)[name] else { return }
        guard let got else {
            Issue.record("\(stage.name)/\(file): nothing to compare with \(name)", sourceLocation: sourceLocation)
            return
        }
        func significant(_ shape: [Int]) -> [Int] { Array(shape.drop { $0 == 1 }) }
        guard significant(expected.shape) == significant(got.shape) else {
            Issue.record(
                "\(stage.name)/\(file): \(name) has shape \(got.shape), expected \(expected.shape)",
                sourceLocation: sourceLocation)
            return
        }
        compare(file, name, expected, got, sourceLocation)
    }

    /// Compares numbers that are not in a safetensors file exactly.
    public func checkEqual<Value: Equatable>(
        _ name: @autoclosure () -> String, _ got: Value, _ expected: Value,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        cases += 1
        if got != expected {
            Issue.record("\(stage.name): \(name()) is \(got), expected \(expected)", sourceLocation: sourceLocation)
        }
    }

    private func compare(
        _ file: String, _ name: String, _ expected: Tensor, _ got: Tensor, _ sourceLocation: SourceLocation
    ) {
        open[file]?.remove(name)
        cases += 1
        let tolerance = stage.specification(file, name)?["tolerance"]
        let isExact =
            tolerance?["exact"]?.bool == true || !expected.elementType.isFloatingPoint && tolerance?["abs"] == nil
        let absolute = isExact ? 0 : tolerance?["abs"]?.double ?? 0
        let relative = isExact ? 0 : tolerance?["rel"]?.double ?? 0
        for (index, (a, b)) in zip(got.floats, expected.floats).enumerated() {
            let difference = abs(Double(a) - Double(b))
            let allowed = absolute + relative * abs(Double(b))
            if difference == 0 { continue }
            let ratio = difference / max(allowed, .leastNormalMagnitude)
            if ratio > worst.ratio { worst = (ratio, "\(file):\(name)") }
            // Not-a-number compares false with everything, so this asks for what is right.
            if !(difference <= allowed) {
                Issue.record(
                    "\(stage.name)/\(file): \(name)[\(index)] is \(a), expected \(b) within \(allowed)",
                    sourceLocation: sourceLocation)
                return
            }
        }
    }

    /// Closes the report: prints it, and fails if nothing ran or something was overlooked.
    public func finish(sourceLocation: SourceLocation = #_sourceLocation) {
        let ratio =
            worst.ratio == 0
            ? "exact" : String(format: "worst error %.3f of its tolerance (%@)", worst.ratio, worst.name)
        print("golden \(stage.name): \(cases) cases, \(ratio)")
        #expect(cases > 0, "golden stage \(stage.name) ran no case", sourceLocation: sourceLocation)
        for (file, names) in open where !names.isEmpty {
            Issue.record(
                "\(stage.name)/\(file): not compared: \(names.sorted().joined(separator: ", "))",
                sourceLocation: sourceLocation)
        }
    }
}
