#include "node/cpu_manager/cpu_state.h"

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "node/topology/checkpoint.h"

namespace keles::node {

namespace {

constexpr const char* kFile = "cpu_manager_state";

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

void member_text(std::string& out, std::string_view key, std::string_view value) {
  write_json_string(out, key);
  out += ':';
  write_json_string(out, value);
}

}  // namespace

Result<CpuState> CpuState::open(const std::string& directory, const std::string& policy) {
  const std::string path = directory + "/" + kFile;
  auto text = read_file(path, kMostCheckpoint);
  CpuState out;
  if (text.ok()) {
    auto read = parse(*text, policy);
    if (!read.ok())
      return Status(Reason::kInvalid,
                    "could not restore state from checkpoint: " + read.status().message() +
                        ", please drain this node and delete the CPU manager checkpoint file " +
                        quoted(path) + " before restarting Kubelet");
    out = std::move(*read);
  } else if (!text.status().is(Reason::kNotFound)) {
    return text.status();
  }
  out.path_ = path;
  out.policy_ = policy;
  if (!text.ok()) TRY(write_file(path, out.text(), 0600));
  return out;
}

Result<CpuState> CpuState::parse(const std::string& text, const std::string& policy) {
  auto tree = parse_json(text);
  if (!tree.ok()) return tree.status();
  const Value& root = tree->root;
  CpuState out;
  out.policy_ = std::string(member(root, "policyName").as_string());
  const std::string shared(member(root, "defaultCpuSet").as_string());
  auto cpus = CpuSet::parse(shared);
  Status unreadable;
  if (!cpus.ok())
    unreadable = Status(Reason::kInvalid, "could not parse default cpu set " + quoted(shared) +
                                              ": " + cpus.status().message());
  if (cpus.ok()) out.shared_ = *cpus;
  std::string entries;
  for (const Member& pod : member(root, "entries").members()) {
    for (const Member& c : pod.value.members()) {
      auto set = CpuSet::parse(c.value.as_string());
      if (!set.ok() && unreadable.ok())
        unreadable =
            Status(Reason::kInvalid, "could not parse cpuset " + quoted(c.value.as_string()) +
                                         " for container " + quoted(c.key()) + " in pod " +
                                         quoted(pod.key()) + ": " + set.status().message());
      if (set.ok()) out.assigned_[std::string(pod.key())][std::string(c.key())] = *set;
    }
  }
  if (unreadable.ok()) TRY(verify_checksum(root, out.checksum(), true));
  if (out.policy_ != policy)
    return Status(Reason::kInvalid, "configured policy " + quoted(policy) +
                                        " differs from state checkpoint policy " +
                                        quoted(out.policy_));
  if (!unreadable.ok()) return unreadable;
  return out;
}

// Of what Go's spew prints of the structure.
uint32_t CpuState::checksum() const {
  std::string entries;
  for (const auto& [pod, containers] : assigned_) {
    std::string inner;
    for (const auto& [name, cpus] : containers)
      inner += (inner.empty() ? "" : " ") + name + ":" + cpus.to_string();
    entries += (entries.empty() ? "" : " ") + pod + ":map[" + inner + "]";
  }
  return fnv1a_32("(*state.CPUManagerCheckpoint){PolicyName:(string)" + policy_ +
                " DefaultCPUSet:(string)" + shared_.to_string() +
                " Entries:(map[string]map[string]string)map[" + entries +
                "] Checksum:(checksum.Checksum)0}");
}

std::string CpuState::text() const {
  std::string out = "{";
  member_text(out, "policyName", policy_);
  out += ',';
  member_text(out, "defaultCpuSet", shared_.to_string());
  if (!assigned_.empty()) {
    out += ",\"entries\":{";
    bool first = true;
    for (const auto& [pod, containers] : assigned_) {
      if (!first) out += ',';
      first = false;
      write_json_string(out, pod);
      out += ":{";
      bool inner = true;
      for (const auto& [name, cpus] : containers) {
        if (!inner) out += ',';
        inner = false;
        member_text(out, name, cpus.to_string());
      }
      out += '}';
    }
    out += '}';
  }
  return out + ",\"checksum\":" + std::to_string(checksum()) + "}";
}

const CpuSet* CpuState::of(const std::string& pod, const std::string& container) const {
  auto p = assigned_.find(pod);
  if (p == assigned_.end()) return nullptr;
  auto c = p->second.find(container);
  return c == p->second.end() ? nullptr : &c->second;
}

CpuSet CpuState::exclusive() const {
  CpuSet out;
  for (const auto& [pod, containers] : assigned_)
    for (const auto& [name, cpus] : containers) out = out | cpus;
  return out;
}

Status CpuState::share(CpuSet cpus) { return change(std::move(cpus), assigned_); }

Status CpuState::give(const std::string& pod, const std::string& container, CpuSet cpus) {
  Assignments assigned = assigned_;
  CpuSet left = shared_ - cpus;
  assigned[pod][container] = std::move(cpus);
  return change(std::move(left), std::move(assigned));
}

Status CpuState::take_back(const std::string& pod, const std::string& container,
                           const CpuSet& cpus) {
  Assignments assigned = assigned_;
  auto p = assigned.find(pod);
  if (p == assigned.end()) return {};
  p->second.erase(container);
  if (p->second.empty()) assigned.erase(p);
  return change(shared_ | cpus, std::move(assigned));
}

Status CpuState::change(CpuSet shared, Assignments assigned) {
  std::swap(shared_, shared);
  std::swap(assigned_, assigned);
  if (path_.empty()) return {};
  Status s = write_file(path_, text(), 0600);
  if (s.ok()) return s;
  std::swap(shared_, shared);
  std::swap(assigned_, assigned);
  log::error("Cannot keep which CPUs are whose", {{"path", path_}, {"error", s}});
  return s.with_prefix("could not save checkpoint");
}

}  // namespace keles::node
