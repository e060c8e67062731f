#include "node/cgroup/allocatable.h"

#include <algorithm>
#include <charconv>

#include "base/encoding.h"
#include "base/file.h"
#include "base/text_parts.h"
#include "machinery/quantity.h"

namespace keles::node {
namespace {

constexpr std::string_view kHugePages = "hugepages-";

Quantity of(const quota::ResourceList& list, std::string_view name) {
  auto it = list.find(name);
  return it == list.end() ? Quantity() : it->second;
}

Quantity reserved(const Reservations& r, std::string_view name) {
  Quantity out = of(r.kube, name);
  out.add(of(r.system, name));
  return out;
}

// What eviction keeps free of a resource: of the memory and of the pods' file system.
Quantity eviction_room(const Reservations& r, std::string_view name, const Quantity& capacity) {
  for (const Threshold& t : r.eviction) {
    bool this_one = (name == "memory" && t.signal == Signal::kMemoryAvailable) ||
                    (name == "ephemeral-storage" && t.signal == Signal::kNodeFsAvailable);
    if (this_one && t.hard()) return t.value.of(capacity.value());
  }
  return {};
}

Quantity less(Quantity from, const Quantity& what) {
  from.sub(what);
  return from.sign() < 0 ? Quantity() : from;
}

int64_t number(std::string_view text) {
  int64_t v = 0;
  std::from_chars(text.data(), text.data() + text.size(), v);
  return v;
}

}  // namespace

Result<quota::ResourceList> parse_reservation(std::string_view text) {
  quota::ResourceList out;
  for (std::string_view one : split_list(text)) {
    if (one.empty()) continue;
    size_t eq = one.find('=');
    if (eq == one.npos) return Status::bad_request("malformed pair, expect string=string");
    std::string name(one.substr(0, eq));
    if (name != "cpu" && name != "memory" && name != "ephemeral-storage" && name != "pid")
      return Status::bad_request("cannot reserve " + quoted(name) + " resource");
    TRY_ASSIGN(amount, Quantity::parse(one.substr(eq + 1)));
    if (amount.sign() < 0)
      return Status::bad_request("resource quantity for " + quoted(name) +
                                 " cannot be negative: " + amount.to_string());
    out[name] = amount;
  }
  return out;
}

Status check(const Reservations& r, const quota::ResourceList& capacity) {
  std::string wrong;
  for (const auto& [name, have] : capacity) {
    Quantity want = reserved(r, name);
    want.add(eviction_room(r, name, have));
    if (want <= have) continue;
    wrong += " Resource " + quoted(name) + " has a reservation of " + want.to_string() +
             " but capacity of " + have.to_string() + ". Expected capacity >= reservation.";
  }
  if (wrong.empty()) return {};
  return Status::bad_request("invalid Node Allocatable configuration." + wrong);
}

quota::ResourceList allocatable(const quota::ResourceList& capacity, const Reservations& r) {
  quota::ResourceList out;
  Quantity pages;
  for (const auto& [name, have] : capacity) {
    Quantity kept = reserved(r, name);
    kept.add(eviction_room(r, name, have));
    out[name] = less(have, kept);
    if (name.starts_with(kHugePages)) pages.add(have);
  }
  // Huge pages are memory that nothing else can be put into.
  auto memory = out.find("memory");
  if (memory != out.end()) memory->second = less(memory->second, pages);
  return out;
}

quota::ResourceList kept(const quota::ResourceList& capacity, const Reservations& r) {
  quota::ResourceList out;
  for (const auto& [name, have] : capacity) {
    out[name] = reserved(r, name);
    out[name].add(eviction_room(r, name, have));
  }
  return out;
}

CgroupLimits pods_limits(const quota::ResourceList& capacity, const Reservations& r) {
  CgroupLimits out;
  out.cpu_shares = shares_of_milli(less(of(capacity, "cpu"), reserved(r, "cpu")).milli_value());
  out.memory_limit_bytes = less(of(capacity, "memory"), reserved(r, "memory")).value();
  if (capacity.contains("pid"))
    out.pids_limit = less(of(capacity, "pid"), reserved(r, "pid")).value();
  return out;
}

quota::ResourceList huge_pages(const std::string& directory) {
  quota::ResourceList out;
  auto names = list_directory(directory);
  if (!names.ok()) return out;
  for (const std::string& n : *names) {
    if (!n.starts_with(kHugePages) || !n.ends_with("kB")) continue;
    int64_t size = number(std::string_view(n).substr(kHugePages.size())) * 1024;
    auto count = read_file(directory + "/" + n + "/nr_hugepages", 64);
    if (size <= 0 || !count.ok()) continue;
    Quantity page = Quantity::from_int(size, Quantity::Format::kBinarySI);
    out[std::string(kHugePages) + page.to_string()] =
        Quantity::from_int(size * number(*count), Quantity::Format::kBinarySI);
  }
  return out;
}

std::string huge_page_unit(std::string_view resource) {
  if (!resource.starts_with(kHugePages)) return "";
  auto size = Quantity::parse(resource.substr(kHugePages.size()));
  if (!size.ok() || size->sign() <= 0) return "";
  constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  int64_t bytes = size->value();
  size_t unit = 0;
  for (; bytes % 1024 == 0 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return std::to_string(bytes) + kUnits[unit];
}

}  // namespace keles::node
