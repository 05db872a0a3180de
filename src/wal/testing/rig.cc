#include "wal/testing/rig.h"

namespace rutile::wal::testing {

Status Rig::Open() {
  Kill();
  RUTILE_ASSIGN_OR_RETURN(opened, Wal::Open(files, options));
  return Status();
}

Status Rig::CutPower(sim::Loss loss) {
  opened = {};
  files.CutPower(loss);
  return Open();
}

void Rig::Kill() {
  opened = {};
  files.KillProcess();
}

std::string Rig::Reopened() {
  if (const Status status = Open(); !status.ok()) return status.ToString();
  Result<std::string> text = TextOf(*opened.wal, opened.regions);
  return text.ok() ? text.value() : text.status().ToString();
}

void Rig::Append(const RegionWrite& write) {
  Status status = Write({write});
  if (status.ok()) status = opened.wal->Sync();
  RUTILE_CHECK(status.ok(), status.ToString());
}

std::map<std::string, std::string> Rig::Files() {
  std::map<std::string, std::string> contents;
  const std::vector<std::string> names = files.List(options.directory).value();
  for (const std::string& name : names) {
    const std::string path = options.directory + "/" + name;
    contents[path] = files.ReadAll(path).value();
  }
  return contents;
}

void Rig::SetFiles(const std::map<std::string, std::string>& contents) {
  Kill();
  RUTILE_CHECK(files.CreateDirectories(options.directory).ok());
  const std::vector<std::string> names = files.List(options.directory).value();
  for (const std::string& name : names) {
    const std::string path = options.directory + "/" + name;
    if (!contents.contains(path)) RUTILE_CHECK(files.Remove(path).ok());
  }
  for (const auto& [path, bytes] : contents) {
    const auto file = files.Create(path).value()->WriteAt(0, bytes);
    RUTILE_CHECK(file.ok(), file.ToString());
  }
}

std::vector<std::string> Rig::Segments() {
  std::vector<std::string> segments;
  const std::vector<std::string> names = files.List(options.directory).value();
  for (const std::string& name : names) {
    if (name.ends_with(".log")) segments.push_back(options.directory + "/" + name);
  }
  return segments;
}

RegionWrite WriteOf(std::uint64_t region, LogId prev, std::uint64_t term, std::uint64_t count,
                    std::size_t bytes) {
  RegionWrite write{.region = RegionId(region), .peer = PeerId(1), .slice = {.prev = prev}};
  for (std::uint64_t i = 1; i <= count; ++i) {
    const std::uint64_t index = prev.index.value() + i;
    write.slice.entries.push_back(
        MakeEntry(index, term, std::string(bytes, static_cast<char>('a' + index % 26))));
  }
  return write;
}

LogId Id(std::uint64_t index, std::uint64_t term) {
  return {.term = Term(term), .index = Index(index)};
}

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

}  // namespace rutile::wal::testing
