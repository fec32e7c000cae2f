/// The parts of a data set that must not share pictures.
public enum DataSplit: String, Sendable, CaseIterable, Codable {
    /// To learn from.
    case train
    /// To choose settings by.
    case validation
    /// To report.
    case test
    /// To report: combinations that no other split shows.
    case heldOut = "held-out"
}
