/// How a model is put together from its files.
public struct LoadOptions: Sendable {
    /// Directory of the vision tower; nil takes the one inside the checkpoint.
    public var visionTower: String?
    /// A file of connector weights, or a directory that holds one; nil takes the checkpoint's own.
    public var adapter: String?
    /// Values that replace those of config.json.
    public var configOverrides: [(key: String, value: String)] = []
    /// Which weights are trained, by their names in the checkpoint; nil for none. The tower's never are.
    public var trains: (@Sendable (String) -> Bool)?

    /// The checkpoint as it is.
    public init() {}
}
