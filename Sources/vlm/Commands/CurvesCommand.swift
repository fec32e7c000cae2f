import ArgumentParser
import Evaluation
import Foundation
import ModelFiles

/// `vlm curves`: the loss of training runs as a picture.
struct CurvesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "curves",
        abstract: "Draw the loss of training runs.",
        discussion: """
            Each run is the directory of vlm train --out, finished or not. Points are means over neighbouring steps.

            EXAMPLES
              vlm curves runs/mine --out loss.svg
              vlm curves runs/seed-1 runs/seed-2 runs/seed-3 --out seeds.svg
            """)

    @Argument(help: ArgumentHelp("Directories of runs.", valueName: "run"), completion: .file())
    var runs: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("The drawing, as SVG.", valueName: "file"), completion: .file())
    var out: String

    func run() throws {
        let svg = try LossCurves(runs: runs).svg
        try AtomicFile(path: out).write { try $0.write(contentsOf: Data(svg.utf8)) }
        Terminal.note("wrote \(out)")
    }
}
