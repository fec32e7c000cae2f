import Foundation
import Tensors
import TestSupport
import Testing

/// What `scripts/record-quantizer-golden.py` prints for the same weights.
@Suite("Quantisers against ggml's")
struct QuantizerGoldenTests {
    /// Sums of four uniform numbers, exact in float32; rows differ in scale, and some are of one sign or constant.
    private static let weights: Tensor = {
        let (rows, columns) = (64, 512)
        var state: UInt32 = 1
        var values: [Float] = []
        for row in 0..<rows {
            for _ in 0..<columns {
                var sum = 0
                for _ in 0..<4 {
                    state = state &* 1_664_525 &+ 1_013_904_223
                    sum += Int(state >> 11) - 1 << 20
                }
                let value = Float(sum) * 0x1p-20 * Float(sign: .plus, exponent: row % 13 - 9, significand: 1)
                values.append([3: value.magnitude, 5: -value.magnitude, 7: 0, 9: 0.375][row] ?? value)
            }
        }
        return Tensor(values, shape: [rows, columns])
    }()

    @Test(
        "blocks of 32 are those of ggml's reference to the byte",
        arguments: [
            (ElementType.float32, "98a6ba4aa92829db2b563705fcb99821df68aa22f91eae0c2f699f0d9b5c15ef"),
            (.q8_0, "9f8c127641a4cd100eaf7d09ad3215c7ea5709219a86e7e8c74e6a17551913bf"),
            (.q4_0, "3f00dbba38dd35c2d8b811de9d01b30cc81a48ca81badeab73dc3d70cc709172"),
            (.q4_1, "2586029a94fc6b78fb05feccd366175dd2133bd856274e4708ebc241f9c25525"),
            (.q5_0, "0dd429a5bab49aeadb0220981fa642047bdc811fc4af5f908278d3287301f9f5"),
            (.q5_1, "d1e12ad90b52fb58ad616c82936b349087f690d01fa39aba57b42f61ab79bcf4"),
        ])
    func bytes(type: ElementType, digest: String) throws {
        #expect(sha256(try Self.weights.converted(to: type).bytes) == digest)
    }

    @Test(
        "blocks of 256 are closer to the weights than those of llama.cpp's quantiser",
        arguments: [(ElementType.q4_K, 0.069162), (.q5_K, 0.034698), (.q6_K, 0.017227)])
    func search(type: ElementType, theirs: Double) throws {
        #expect(try relativeError(of: Self.weights, as: type) < theirs)
    }
}

/// Root of the mean squared error over that of the mean square.
func relativeError(of tensor: Tensor, as type: ElementType) throws -> Double {
    let sums = zip(try tensor.converted(to: type).floats, tensor.floats).reduce(into: (0.0, 0.0)) { sums, pair in
        let difference = Double(pair.0) - Double(pair.1)
        sums.0 += difference * difference
        sums.1 += Double(pair.1) * Double(pair.1)
    }
    return (sums.0 / sums.1).squareRoot()
}
