#include "env/sim/sim_files.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::sim {
namespace {

// "a/b" of "./a//b"; empty for the root.
std::string Normal(const std::string& path) {
  std::string out;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    if (!part.empty() && part != ".") out += (out.empty() ? "" : "/") + part;
    at = end + 1;
  }
  return out;
}

std::string ParentOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

Status Error(Code code, std::string_view what, const std::string& path, std::string_view why) {
  return Status(code, std::string(what) + " " + path + ": " + std::string(why));
}

}  // namespace

class SimFileSystem::SimFile final : public File {
 public:
  SimFile(SimFileSystem& disk, std::shared_ptr<SimInode> inode, std::string path)
      : disk_(disk), inode_(std::move(inode)), path_(std::move(path)), process_(disk.process_) {}

  Status WriteAt(std::uint64_t offset, std::string_view data) override {
    RUTILE_RETURN_IF_ERROR(CheckAlive("write"));
    return disk_.WriteInode(*inode_, path_, offset, data);
  }
  Status ReadInto(std::uint64_t offset, std::size_t size, std::string* out) const override {
    RUTILE_RETURN_IF_ERROR(CheckAlive("read"));
    RUTILE_RETURN_IF_ERROR(disk_.Begin(Operation::kRead, "read", path_));
    const std::string& contents = inode_->contents();
    out->clear();
    if (offset < contents.size()) out->assign(contents, offset, size);
    return {};
  }
  Result<std::uint64_t> Size() const override {
    RUTILE_RETURN_IF_ERROR(CheckAlive("stat"));
    return inode_->contents().size();
  }
  Status Truncate(std::uint64_t size) override {
    RUTILE_RETURN_IF_ERROR(CheckAlive("truncate"));
    RUTILE_RETURN_IF_ERROR(
        disk_.BeginChange(Operation::kWrite, "truncate", path_, std::to_string(size)));
    inode_->Truncate(size);
    disk_.used_.reset();
    return {};
  }
  Status Sync() override {
    RUTILE_RETURN_IF_ERROR(CheckAlive("fdatasync"));
    return disk_.SyncInode(*inode_, path_);
  }

 private:
  Status CheckAlive(std::string_view what) const {
    if (process_ == disk_.process_) return {};
    return Error(Code::kIoError, what, path_, "its process is gone");
  }

  SimFileSystem& disk_;
  const std::shared_ptr<SimInode> inode_;
  const std::string path_;
  const std::uint64_t process_;
};

class SimFileSystem::SimLock final : public DirectoryLock {
 public:
  SimLock(SimFileSystem& disk, std::string path)
      : disk_(disk), path_(std::move(path)), process_(disk.process_) {}
  ~SimLock() override {
    if (process_ == disk_.process_) disk_.locks_.erase(path_);
  }

 private:
  SimFileSystem& disk_;
  const std::string path_;
  const std::uint64_t process_;
};

SimFileSystem::SimFileSystem(World& world, const Options& options)
    : world_(world), random_(world.NewRandom()), options_(options) {}

SimFileSystem::~SimFileSystem() = default;

SimFileSystem::Latency& SimFileSystem::LatencyOf(Operation operation) {
  switch (operation) {
    case Operation::kRead: return options_.read;
    case Operation::kWrite: return options_.write;
    case Operation::kSync: return options_.sync;
  }
  RUTILE_UNREACHABLE();
}

Status SimFileSystem::Begin(Operation operation, std::string_view what, const std::string& path) {
  if (stalled_until_ > world_.Now()) world_.Take(stalled_until_ - world_.Now());
  const Latency& latency = LatencyOf(operation);
  if (latency.max > Duration(0)) {
    const auto slow = slowness_.find(operation);
    const bool is_slow = slow != slowness_.end() && world_.Now() < slow->second.until;
    const std::int64_t factor = is_slow ? slow->second.factor : 1;
    world_.Take(factor * world_.Between(latency.min, latency.max));
  }
  if (!has_power_) return Error(Code::kIoError, what, path, "the power is off");
  std::uint64_t& to_fail = fail_next_[operation];
  if (to_fail > 0) {
    --to_fail;
    return Error(Code::kIoError, what, path, "Input/output error");
  }
  const std::uint32_t rate = failure_rate_[operation];
  if (rate > 0 && random_.Below(1'000'000) < rate) {
    return Error(Code::kIoError, what, path, "Input/output error");
  }
  return {};
}

Status SimFileSystem::BeginChange(Operation operation, std::string_view what,
                                  const std::string& path, std::string_view detail) {
  interrupted_ = false;
  const Status status = Begin(operation, what, path);
  std::string line = std::string(what) + " " + (path.empty() ? "." : path);
  if (!detail.empty()) line.append(" ").append(detail);
  if (!status.ok()) line += " failed";
  world_.Note(line);
  if (observer_) observer_(line);
  RUTILE_RETURN_IF_ERROR(status);
  ++changes_;
  if (!power_fails_at_ || changes_ < *power_fails_at_) return {};
  power_fails_at_.reset();
  has_power_ = false;
  interrupted_ = true;
  if (on_power_failure_) std::exchange(on_power_failure_, nullptr)();
  return Error(Code::kIoError, what, path, "the power failed");
}

Status SimFileSystem::WriteInode(SimInode& inode, const std::string& path, std::uint64_t offset,
                                 std::string_view data) {
  Status status = BeginChange(Operation::kWrite, "write", path,
                              std::to_string(offset) + "+" + std::to_string(data.size()));
  if (!status.ok()) {
    // Nobody knows how far it got.
    if (has_power_ || interrupted_) {
      inode.Write(offset, data.substr(0, random_.Below(data.size() + 1)));
      used_.reset();
    }
    return status;
  }
  const std::uint64_t end = offset + data.size();
  const std::uint64_t size = inode.contents().size();
  const std::uint64_t room = free_bytes();
  const bool fits = end <= size || end - size <= room;
  if (!fits) data = data.substr(0, size + room > offset ? size + room - offset : 0);
  inode.Write(offset, data);
  if (const std::uint64_t grown = inode.contents().size() - size; grown > 0) {
    const auto named = names_.find(path);
    if (named != names_.end() && named->second.get() == &inode) {
      *used_ += grown;
    } else {
      used_.reset();  // It was renamed, or removed: then it does not count.
    }
  }
  if (fits) return {};
  exceeded_capacity_ = options_.capacity_bytes;
  return Error(Code::kResourceExhausted, "write", path, "No space left on device");
}

Status SimFileSystem::SyncInode(SimInode& inode, const std::string& path) {
  Status status = BeginChange(Operation::kSync, "sync", path);
  if (status.ok() && lies_) return status;
  if (status.ok()) {
    inode.Sync();
  } else if (has_power_) {
    inode.FailSync(random_);
  }
  return status;
}

Status SimFileSystem::CheckParent(std::string_view what, const std::string& path) const {
  const std::string parent = ParentOf(path);
  if (parent.empty() || directories_.contains(parent)) return {};
  return Error(Code::kNotFound, what, path, "No such file or directory");
}

void SimFileSystem::Apply(const NameChange& change, Names* names) {
  for (const auto& [path, inode] : change) {
    if (inode == nullptr) {
      names->erase(path);
    } else {
      (*names)[path] = inode;
    }
  }
}

void SimFileSystem::ChangeNames(NameChange change) {
  for (const auto& [path, inode] : change) {
    if (!used_) break;
    const auto before = names_.find(path);
    if (before != names_.end()) *used_ -= before->second->contents().size();
    if (inode != nullptr) *used_ += inode->contents().size();
  }
  Apply(change, &names_);
  name_changes_.push_back(std::move(change));
}

Result<std::unique_ptr<File>> SimFileSystem::Open(const std::string& given) {
  const std::string path = Normal(given);
  RUTILE_RETURN_IF_ERROR(Begin(Operation::kRead, "open", path));
  const auto found = names_.find(path);
  if (found != names_.end()) {
    return std::unique_ptr<File>(new SimFile(*this, found->second, path));
  }
  if (path.empty() || directories_.contains(path)) {
    return Error(Code::kIoError, "open", path, "Is a directory");
  }
  return Error(Code::kNotFound, "open", path, "No such file or directory");
}

Result<std::unique_ptr<File>> SimFileSystem::Create(const std::string& given) {
  const std::string path = Normal(given);
  RUTILE_RETURN_IF_ERROR(CheckParent("create", path));
  if (path.empty() || directories_.contains(path)) {
    return Error(Code::kIoError, "create", path, "Is a directory");
  }
  Status status = BeginChange(Operation::kWrite, "create", path);
  // As O_TRUNC does: the file that is there is emptied, not replaced by another.
  std::shared_ptr<SimInode> inode;
  if (const auto found = names_.find(path); found != names_.end()) inode = found->second;
  if (status.ok() || interrupted_) {
    if (inode != nullptr) {
      inode->Truncate(0);
      used_.reset();
    } else {
      inode = std::make_shared<SimInode>(options_.sector_bytes);
      ChangeNames({{path, inode}});
    }
  }
  RUTILE_RETURN_IF_ERROR(status);
  return std::unique_ptr<File>(new SimFile(*this, std::move(inode), path));
}

Result<std::string> SimFileSystem::ReadAll(const std::string& path) {
  RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, Open(path));
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t size, file->Size());
  return file->ReadAt(0, size);
}

Status SimFileSystem::Rename(const std::string& given_from, const std::string& given_to) {
  const std::string from = Normal(given_from);
  const std::string to = Normal(given_to);
  RUTILE_RETURN_IF_ERROR(CheckParent("rename", to));
  const auto found = names_.find(from);
  if (found == names_.end()) {
    return Error(Code::kNotFound, "rename", from + " to " + to, "No such file or directory");
  }
  const std::shared_ptr<SimInode> inode = found->second;
  Status status = BeginChange(Operation::kWrite, "rename", from, to);
  // A power cut finds the change made or not; both are left open by not syncing it.
  if ((status.ok() || interrupted_) && from != to) ChangeNames({{from, nullptr}, {to, inode}});
  return status;
}

Status SimFileSystem::Remove(const std::string& given) {
  const std::string path = Normal(given);
  if (!names_.contains(path)) {
    const bool is_directory = directories_.contains(path);
    return Error(is_directory ? Code::kIoError : Code::kNotFound, "remove", path,
                 is_directory ? "Is a directory" : "No such file or directory");
  }
  Status status = BeginChange(Operation::kWrite, "remove", path);
  if (status.ok() || interrupted_) ChangeNames({{path, nullptr}});
  return status;
}

bool SimFileSystem::Exists(const std::string& given) {
  const std::string path = Normal(given);
  return path.empty() || names_.contains(path) || directories_.contains(path);
}

Result<std::vector<std::string>> SimFileSystem::List(const std::string& given) {
  const std::string directory = Normal(given);
  RUTILE_RETURN_IF_ERROR(Begin(Operation::kRead, "list", directory));
  if (!directory.empty() && !directories_.contains(directory)) {
    return Error(Code::kNotFound, "list", directory, "No such file or directory");
  }
  std::vector<std::string> found;
  const auto add = [&](const std::string& path) {
    if (ParentOf(path) != directory) return;
    found.push_back(directory.empty() ? path : path.substr(directory.size() + 1));
  };
  for (const auto& [path, inode] : names_) add(path);
  for (const std::string& path : directories_) add(path);
  std::sort(found.begin(), found.end());
  return found;
}

Status SimFileSystem::CreateDirectories(const std::string& given) {
  const std::string path = Normal(given);
  if (path.empty() || directories_.contains(path)) return {};
  RUTILE_RETURN_IF_ERROR(BeginChange(Operation::kWrite, "create-directory", path));
  for (std::string part = path; !part.empty(); part = ParentOf(part)) {
    if (names_.contains(part)) {
      return Error(Code::kIoError, "create directory", path, "Not a directory");
    }
    directories_.insert(part);
  }
  return {};
}

Status SimFileSystem::SyncDirectory(const std::string& given) {
  const std::string directory = Normal(given);
  if (!directory.empty() && !directories_.contains(directory)) {
    return Error(Code::kNotFound, "sync directory", directory, "No such file or directory");
  }
  RUTILE_RETURN_IF_ERROR(BeginChange(Operation::kSync, "sync-directory", directory));
  // From the last change back: with a renaming from elsewhere goes what was done to that name.
  std::set<std::string> paths;
  std::vector<NameChange> durable, left;
  for (auto change = name_changes_.rbegin(); change != name_changes_.rend(); ++change) {
    const bool concerned = std::any_of(change->begin(), change->end(), [&](const auto& entry) {
      return ParentOf(entry.first) == directory || paths.contains(entry.first);
    });
    if (concerned) {
      for (const auto& [path, inode] : *change) paths.insert(path);
    }
    (concerned ? durable : left).push_back(std::move(*change));
  }
  for (auto change = durable.rbegin(); change != durable.rend(); ++change) {
    Apply(*change, &durable_names_);
  }
  name_changes_.assign(std::make_move_iterator(left.rbegin()),
                       std::make_move_iterator(left.rend()));
  return {};
}

Result<std::unique_ptr<DirectoryLock>> SimFileSystem::Lock(const std::string& given) {
  const std::string path = Normal(given);
  if (locks_.contains(path)) {
    return Status(Code::kAlreadyExists, path + " is in use by process " + std::to_string(process_) +
                                            "; stop that process or give another data directory");
  }
  if (!names_.contains(path)) RUTILE_RETURN_IF_ERROR(Create(path).status());
  locks_.insert(path);
  return std::unique_ptr<DirectoryLock>(new SimLock(*this, path));
}

Result<std::uint64_t> SimFileSystem::FreeBytes() { return free_bytes(); }

void SimFileSystem::KillProcess() {
  ++process_;
  locks_.clear();
  fail_next_.clear();
}

void SimFileSystem::CutPower(Loss loss) {
  KillProcess();
  if (loss == Loss::kAny) loss = static_cast<Loss>(random_.Below(4));
  world_.Note("power-cut");
  const std::size_t prefix = random_.Below(name_changes_.size() + 1);
  for (std::size_t i = 0; i < name_changes_.size(); ++i) {
    const bool kept = loss == Loss::kNone || (loss == Loss::kSuffix && i < prefix) ||
                      (loss == Loss::kScatter && random_.OneIn(2));
    if (kept) Apply(name_changes_[i], &durable_names_);
  }
  name_changes_.clear();
  names_ = durable_names_;
  for (const auto& [path, inode] : names_) inode->CutPower(loss, random_);
  used_.reset();
  has_power_ = true;
  power_fails_at_.reset();
  on_power_failure_ = nullptr;
  stalled_until_ = {};
}

void SimFileSystem::FailPowerAfter(std::uint64_t changes, std::function<void()> notify) {
  RUTILE_CHECK(changes > 0);
  power_fails_at_ = changes_ + changes;
  on_power_failure_ = std::move(notify);
}

void SimFileSystem::FailNext(Operation operation, std::uint64_t count) {
  fail_next_[operation] = count;
}

void SimFileSystem::SetFailureRate(Operation operation, std::uint32_t per_million) {
  failure_rate_[operation] = per_million;
}

void SimFileSystem::SetLatency(Operation operation, const Latency& latency) {
  LatencyOf(operation) = latency;
}

void SimFileSystem::StallFor(Duration span) {
  stalled_until_ = std::max(stalled_until_, world_.Now() + span);
}

void SimFileSystem::SlowFor(Operation operation, std::int64_t factor, Duration span) {
  slowness_[operation] = {.factor = factor, .until = world_.Now() + span};
}

void SimFileSystem::Wipe() {
  RUTILE_CHECK(locks_.empty());
  names_.clear();
  durable_names_.clear();
  name_changes_.clear();
  directories_.clear();
  used_.reset();
}

std::vector<std::string> SimFileSystem::Paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, inode] : names_) paths.push_back(path);
  return paths;
}

std::uint64_t SimFileSystem::SizeOf(const std::string& path) const {
  const auto found = names_.find(Normal(path));
  return found == names_.end() ? 0 : found->second->contents().size();
}

std::string_view SimFileSystem::ContentsOf(const std::string& path) const {
  const auto found = names_.find(Normal(path));
  RUTILE_CHECK(found != names_.end(), path);
  return found->second->contents();
}

void SimFileSystem::FlipBit(const std::string& path, std::uint64_t bit) {
  const auto found = names_.find(Normal(path));
  RUTILE_CHECK(found != names_.end(), path);
  found->second->FlipBit(bit);
}

void SimFileSystem::SetObserver(std::function<void(std::string_view)> observer) {
  observer_ = std::move(observer);
}

std::uint64_t SimFileSystem::used_bytes() const {
  if (!used_) {
    used_ = 0;
    for (const auto& [path, inode] : names_) *used_ += inode->contents().size();
  }
  return *used_;
}

std::uint64_t SimFileSystem::free_bytes() const {
  const std::uint64_t used = used_bytes();
  return options_.capacity_bytes > used ? options_.capacity_bytes - used : std::uint64_t{0};
}

}  // namespace rutile::sim
