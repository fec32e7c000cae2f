import ArgumentParser
import Foundation
import LLaVAPipeline
import Tensors
import VisionEncoder

/// `vlm bench encoder`: speed of a vision tower, and what rounding its weights costs.
struct BenchEncoderCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encoder",
        abstract: "Time a vision tower as stored and with rounded weights, and compare features; print JSON.",
        discussion: """
            The forms take turns: each with every picture, again and again; milliseconds are of one picture, the median. The
            hidden state is LLaVA's, that before the last block. Features of rounded weights are compared with those of the
            weights as stored: the cosine of every token, and the length of the difference to that of the features.
            first_milliseconds holds the packing of weights, which happens once in a process; allocated_bytes are those of a
            picture after it.

            Without --image the tower sees a pattern, which is enough for times. The rates of this process on the same
            threads stand beside them, as in vlm bench decoder.

            EXAMPLES
              vlm bench encoder --vision-tower clip-vit-large-patch14-336 --image a.jpg --image b.jpg
              vlm synth recipes/shapes/clip-vit-l-14-336 --out clip-l && vlm bench encoder --vision-tower clip-l
            """)

    @Option(
        help: ArgumentHelp("Directory or ONNX file of the tower.", valueName: "path"), completion: .file())
    var visionTower: String

    @Option(help: ArgumentHelp("A picture; may be repeated.", valueName: "file"), completion: .file())
    var image: [String] = []

    @Option(
        help: ArgumentHelp(
            "Forms of the weights: stored, int8, q8_0, int4; with commas between them.", valueName: "forms"))
    var forms = "stored,int8"

    @Option(help: ArgumentHelp("Rounds, of which the median is printed; one more comes before them.", valueName: "n"))
    var repeats = 5

    @OptionGroup var threads: ThreadOptions

    /// The forms by name, with the blocks they are rounded to.
    private static let known: [(name: String, blocks: ElementType?)] = [
        ("stored", nil), ("int8", .int8), ("q8_0", .q8_0), ("int4", .q4_0),
    ]

    private var wanted: [(name: String, blocks: ElementType?)] {
        get throws {
            try forms.split(separator: ",", omittingEmptySubsequences: false).map { word in
                guard let form = Self.known.first(where: { $0.name == word }) else {
                    throw ValidationError("--forms \(forms): stored, int8, q8_0 and int4 are known")
                }
                return form
            }
        }
    }

    func validate() throws {
        _ = try wanted
        guard repeats >= 1 else { throw ValidationError("--repeats is at least 1") }
    }

    func run() throws {
        var context = threads.context
        context.packing = .atOnce
        try context.run { try Terminal.json(report()) }
    }

    private func report() throws -> Report {
        let forms = try wanted.map { form in
            (
                name: form.name, blocks: form.blocks,
                tower: try VisionTower.load(from: visionTower, quantizedTo: form.blocks)
            )
        }
        let processor = forms[0].tower.processor
        let pictures = try image.map { try processor.pixelValues(of: [RGBImage.decode(contentsOf: $0).image]) }
        let inputs = pictures.isEmpty ? [Self.pattern(processor.cropSize)] : pictures
        let layer = try forms[0].tower.tower.config.hiddenStateIndex(selectLayer: -2)
        let counter = OperationCounter()
        var context = ComputeContext.current
        context.operations = counter

        var times = [[Double]](repeating: [], count: forms.count)
        var machine: [MachineRates] = []
        var features = [[Tensor]](repeating: [], count: forms.count)
        var operations = 0
        var allocated = [Int](repeating: 0, count: forms.count)
        for round in 0...repeats {
            machine.append(.measured())
            for (index, form) in forms.enumerated() {
                context.quantizedProducts = form.blocks == nil ? .exact : .native
                let clock = ContinuousClock()
                let (start, before) = (clock.now, counter.work)
                let states = context.run {
                    inputs.map { input in
                        counter.counting(into: &operations) { form.tower.tower.hiddenState(input, at: layer) }
                    }
                }
                times[index].append((clock.now - start).milliseconds / Double(inputs.count))
                allocated[index] = (counter.work - before).allocatedBytes / inputs.count
                if round == 0 { features[index] = states }
            }
        }
        let perPicture = Double(operations) / Double((repeats + 1) * forms.count * inputs.count)
        let rate = machine.dropFirst().map(\.flops).median
        return Report(
            visionTower: visionTower, threads: context.pool.threadCount, kernels: context.kernels.name,
            float32Gflops: (rate * 1e-9).rounded(2), pictures: image.count,
            tokens: features[0][0].shape[1], gflop: (perPicture * 1e-9).rounded(2),
            forms: forms.indices.map { index in
                let milliseconds = times[index].dropFirst().median
                let speed = perPicture / milliseconds * 1000
                return Report.Form(
                    weights: forms[index].name, firstMilliseconds: times[index][0].rounded(2),
                    milliseconds: milliseconds.rounded(2), gflops: (speed * 1e-9).rounded(2),
                    ofFloat32Peak: (speed / rate).rounded(4),
                    timesAsFast: (zip(times[0], times[index]).dropFirst().map { $0 / $1 }.median).rounded(3),
                    allocatedBytes: allocated[index],
                    drift: forms[index].blocks == nil || forms[0].blocks != nil
                        ? nil : Drift(of: features[index], from: features[0]))
            })
    }

    /// Pixel values `[1, 3, H, W]` of a smooth pattern within the range of normalised pictures.
    private static func pattern(_ size: ImageSize) -> Tensor {
        Tensor(shape: [1, 3, size.height, size.width]) { values in
            for index in values.indices {
                let (x, y) = (index % size.width, index / size.width % size.height)
                values[index] = 1.5 * sin(Float(x) * 0.05 + Float(index / size.area)) * cos(Float(y) * 0.03)
            }
        }
    }

    private struct Report: Encodable {
        struct Form: Encodable {
            var weights: String
            var firstMilliseconds: Double
            var milliseconds: Double
            var gflops: Double
            var ofFloat32Peak: Double
            /// How many times as fast as the first form, the median of rounds.
            var timesAsFast: Double
            /// What a picture takes from the allocator once everything is packed.
            var allocatedBytes: Int
            var drift: Drift?
        }

        var visionTower: String
        var threads: Int
        var kernels: String
        var float32Gflops: Double
        var pictures: Int
        var tokens: Int
        /// Operations of a picture in units of 10^9.
        var gflop: Double
        var forms: [Form]
    }
}
