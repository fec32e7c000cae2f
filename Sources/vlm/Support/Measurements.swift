import Foundation
import Tensors

extension Collection<Double> {
    /// The middle one; of two in the middle the greater.
    var median: Double { isEmpty ? 0 : sorted()[count / 2] }
}

extension Collection<MachineRates> {
    /// The median of each rate.
    var median: MachineRates { MachineRates(flops: map(\.flops).median, bytes: map(\.bytes).median) }
}

extension Double {
    /// Rounded to so many decimals.
    func rounded(_ digits: Int) -> Double {
        let unit = pow(10, Double(digits))
        return (self * unit).rounded() / unit
    }
}
