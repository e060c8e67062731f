#include "node/memory_manager/memory_state.h"

#include <charconv>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "node/topology/checkpoint.h"

namespace keles::node {

namespace {

constexpr const char* kFile = "memory_manager_state";

std::string quoted(std::string_view s) {
  std::string out;
  write_json_string(out, s);
  return out;
}

std::string joined(const std::vector<int>& numbers, const char* separator) {
  std::string out;
  for (int n : numbers) out += (out.empty() ? "" : separator) + std::to_string(n);
  return out;
}

uint64_t number(const Value& v, std::string_view name) {
  const Value& n = member(v, name);
  return n.is_int() && n.as_int() > 0 ? static_cast<uint64_t>(n.as_int()) : 0;
}

std::vector<int> numbers(const Value& list) {
  std::vector<int> out;
  for (const Value& v : list.items())
    if (v.is_int() && v.as_int() >= 0 && v.as_int() < 64)
      out.push_back(static_cast<int>(v.as_int()));
  return out;
}

// The five figures, as JSON or as Go's spew prints them.
std::string table_text(const MemoryTable& t, bool json) {
  const std::pair<const char*, uint64_t> json_names[] = {{"total", t.total},
                                                         {"systemReserved", t.system},
                                                         {"allocatable", t.allocatable},
                                                         {"reserved", t.reserved},
                                                         {"free", t.free}};
  const char* go_names[] = {"TotalMemSize", "SystemReserved", "Allocatable", "Reserved", "Free"};
  std::string out;
  int i = 0;
  for (const auto& [name, n] : json_names) {
    if (i > 0) out += json ? "," : " ";
    out += json ? quoted(name) + ":" : std::string(go_names[i]) + ":(uint64)";
    out += std::to_string(n);
    ++i;
  }
  return "{" + out + "}";
}

std::string node_text(const MemoryNode& n) {
  std::string tables;
  for (const auto& [type, table] : n.tables)
    tables += (tables.empty() ? "" : ",") + quoted(type) + ":" + table_text(table, true);
  return "{\"numberOfAssignments\":" + std::to_string(n.assignments) + ",\"memoryMap\":{" + tables +
         "},\"cells\":[" + joined(n.group, ",") + "]}";
}

std::string node_dump(const MemoryNode& n) {
  std::string tables;
  for (const auto& [type, table] : n.tables)
    tables += (tables.empty() ? "" : " ") + type + ":<*>" + table_text(table, false);
  return "<*>{NumberOfAssignments:(int)" + std::to_string(n.assignments) +
         " MemoryMap:(map[v1.ResourceName]*state.MemoryTable)map[" + tables + "] Cells:([]int)[" +
         joined(n.group, " ") + "]}";
}

std::string blocks_text(const std::vector<MemoryBlock>& blocks) {
  std::string out;
  for (const MemoryBlock& b : blocks)
    out += (out.empty() ? "" : ",") + ("{\"numaAffinity\":[" + joined(b.nodes, ",")) +
           "],\"type\":" + quoted(b.type) + ",\"size\":" + std::to_string(b.bytes) + "}";
  return "[" + out + "]";
}

std::string blocks_dump(const std::vector<MemoryBlock>& blocks) {
  std::string out;
  for (const MemoryBlock& b : blocks)
    out += (out.empty() ? "" : " ") + ("{NUMAAffinity:([]int)[" + joined(b.nodes, " ")) +
           "] Type:(v1.ResourceName)" + b.type + " Size:(uint64)" + std::to_string(b.bytes) + "}";
  return "[" + out + "]";
}

MemoryNode read_node(const Value& v) {
  MemoryNode out;
  out.assignments = member(v, "numberOfAssignments").as_int();
  for (const Member& m : member(v, "memoryMap").members()) {
    MemoryTable& t = out.tables[std::string(m.key())];
    t.total = number(m.value, "total");
    t.system = number(m.value, "systemReserved");
    t.allocatable = number(m.value, "allocatable");
    t.reserved = number(m.value, "reserved");
    t.free = number(m.value, "free");
  }
  out.group = numbers(member(v, "cells"));
  return out;
}

}  // namespace

Result<MemoryState> MemoryState::open(const std::string& directory, const std::string& policy) {
  const std::string path = directory + "/" + kFile;
  auto text = read_file(path, kMostCheckpoint);
  MemoryState out;
  if (text.ok()) {
    auto read = parse(*text, policy);
    if (!read.ok())
      return Status(Reason::kInvalid,
                    "could not restore state from checkpoint: " + read.status().message() +
                        ", please drain this node and delete the memory manager checkpoint file " +
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

Result<MemoryState> MemoryState::parse(const std::string& text, const std::string& policy) {
  auto tree = parse_json(text);
  if (!tree.ok()) return tree.status();
  const Value& root = tree->root;
  MemoryState out;
  out.policy_ = std::string(member(root, "policyName").as_string());
  for (const Member& m : member(root, "machineState").members()) {
    const std::string_view key = m.key();
    int node = -1;
    auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), node);
    if (error != std::errc() || end != key.data() + key.size() || node < 0 || node >= 64)
      return Status(Reason::kInvalid, quoted(key) + " is no NUMA node");
    out.nodes_[node] = read_node(m.value);
  }
  for (const Member& pod : member(root, "entries").members()) {
    for (const Member& c : pod.value.members()) {
      auto& blocks = out.assigned_[std::string(pod.key())][std::string(c.key())];
      for (const Value& v : c.value.items())
        blocks.push_back({numbers(member(v, "numaAffinity")),
                          std::string(member(v, "type").as_string()), number(v, "size")});
    }
  }
  TRY(verify_checksum(root, out.checksum(), true));
  if (out.policy_ != policy)
    return Status(Reason::kInvalid, "[memorymanager] configured policy " + quoted(policy) +
                                        " differs from state checkpoint policy " +
                                        quoted(out.policy_));
  return out;
}

uint32_t MemoryState::checksum() const {
  std::string nodes, entries;
  for (const auto& [node, state] : nodes_)
    nodes += (nodes.empty() ? "" : " ") + std::to_string(node) + ":" + node_dump(state);
  for (const auto& [pod, containers] : assigned_) {
    std::string inner;
    for (const auto& [name, blocks] : containers)
      inner += (inner.empty() ? "" : " ") + name + ":" + blocks_dump(blocks);
    entries += (entries.empty() ? "" : " ") + pod + ":map[" + inner + "]";
  }
  return fnv1a_32("(*state.MemoryManagerCheckpoint){PolicyName:(string)" + policy_ +
                " MachineState:(state.NUMANodeMap)map[" + nodes +
                "] Entries:(state.ContainerMemoryAssignments)map[" + entries +
                "] Checksum:(checksum.Checksum)0}");
}

std::string MemoryState::text() const {
  std::string nodes, entries;
  for (const auto& [node, state] : nodes_)
    nodes += (nodes.empty() ? "" : ",") + quoted(std::to_string(node)) + ":" + node_text(state);
  for (const auto& [pod, containers] : assigned_) {
    std::string inner;
    for (const auto& [name, blocks] : containers)
      inner += (inner.empty() ? "" : ",") + quoted(name) + ":" + blocks_text(blocks);
    entries += (entries.empty() ? "" : ",") + quoted(pod) + ":{" + inner + "}";
  }
  std::string out = "{\"policyName\":" + quoted(policy_) + ",\"machineState\":{" + nodes + "}";
  if (!entries.empty()) out += ",\"entries\":{" + entries + "}";
  return out + ",\"checksum\":" + std::to_string(checksum()) + "}";
}

const std::vector<MemoryBlock>* MemoryState::of(const std::string& pod,
                                                const std::string& container) const {
  auto p = assigned_.find(pod);
  if (p == assigned_.end()) return nullptr;
  auto c = p->second.find(container);
  return c == p->second.end() ? nullptr : &c->second;
}

Status MemoryState::change(MemoryNodes nodes, Assignments assigned) {
  std::swap(nodes_, nodes);
  std::swap(assigned_, assigned);
  if (path_.empty()) return {};
  Status s = write_file(path_, text(), 0600);
  if (s.ok()) return s;
  std::swap(nodes_, nodes);
  std::swap(assigned_, assigned);
  log::error("Cannot keep whose memory is where", {{"path", path_}, {"error", s}});
  return s.with_prefix("could not save checkpoint");
}

}  // namespace keles::node
