#include "scheduler/dra/allocator.h"

#include <algorithm>
#include <set>

#include "machinery/codec_json.h"

namespace keles::scheduler::dra {
namespace {

namespace resource = api::resource_v1;

constexpr size_t kMostExpressions = 512;

std::string place_of(const resource::ResourceClaim& claim) {
  return std::string(claim.metadata().namespace_()) + "/" + std::string(claim.metadata().name());
}

std::string pool_text(const Pool& pool) { return pool.driver + "/" + pool.name; }

bool tolerates(const Value& tolerations, const resource::DeviceTaint& taint) {
  for (const Value& v : tolerations.items()) {
    const resource::DeviceToleration t(v);
    if (!t.effect().empty() && t.effect() != taint.effect()) continue;
    if (!t.key().empty() && t.key() != taint.key()) continue;
    if (t.operator_() == "Exists") return true;
    const bool equal = t.operator_().empty() || t.operator_() == "Equal";
    if (equal && static_cast<const View&>(t).value()["value"].as_string() ==
                     static_cast<const View&>(taint).value()["value"].as_string()) {
      return true;
    }
  }
  return false;
}

bool is_tainted(const resource::Device& device, const Value& tolerations) {
  for (resource::DeviceTaint taint : device.taints()) {
    const bool keeps_off = taint.effect() == "NoSchedule" || taint.effect() == "NoExecute";
    if (keeps_off && !tolerates(tolerations, taint)) return true;
  }
  return false;
}

const Value& attribute_of(const resource::Device& device, std::string_view driver,
                          std::string_view name) {
  const Value& all = static_cast<const View&>(device).value()["attributes"];
  if (const Value* found = all.find(name)) return *found;
  const size_t slash = name.find('/');
  if (slash == name.npos || name.substr(0, slash) != driver) return Value::null();
  return all[name.substr(slash + 1)];
}

bool same_attribute(const Value& a, const Value& b) {
  for (std::string_view type : {"string", "int", "bool", "version"}) {
    if (a[type].is_null()) continue;
    return !b[type].is_null() && a[type].equals(b[type]);
  }
  return false;
}

}  // namespace

Result<const cel::DeviceSelector*> SelectorCache::get(const std::string& expression) {
  auto [at, fresh] = entries_.try_emplace(expression);
  Entry& e = at->second;
  e.used = ++clock_;
  if (fresh) {
    auto made = cel::DeviceSelector::compile(expression);
    if (made.ok()) {
      e.selector = *made;
    } else {
      e.error = made.status();
    }
    if (entries_.size() > kMostExpressions) {
      auto oldest = std::min_element(entries_.begin(), entries_.end(), [](auto& a, auto& b) {
        return a.second.used < b.second.used;
      });
      entries_.erase(oldest);  // never the one just used
    }
  }
  if (!e.selector) return e.error;
  return &*e.selector;
}

Selections::Answers Selections::of(const std::string& key, size_t devices) {
  constexpr size_t kMostKeys = 128;
  Answers& at = known_[key];
  if (at) return at;
  Answers made = std::make_shared<std::vector<Answer>>(devices, kUnknown);
  at = made;
  if (known_.size() > kMostKeys) known_.clear();
  return made;
}

namespace {

cel::SelectableDevice shown(const Slice& slice, const Device& device) {
  const Value& v = static_cast<const View&>(device.said).value();
  return {slice.object->spec().driver(), &v["attributes"], &v["capacity"], device.shared};
}

Result<bool> all_match(const Value& selectors, const cel::SelectableDevice& device,
                       const std::string& whose, SelectorCache& cache) {
  int i = 0;
  for (const Value& s : selectors.items()) {
    const std::string where = whose + ": selector #" + std::to_string(i++);
    auto compiled = cache.get(std::string(s["cel"]["expression"].as_string()));
    if (!compiled.ok()) return compiled.status().with_prefix(where);
    auto matches = (*compiled)->matches(device);
    if (!matches.ok()) return matches.status().with_prefix(where);
    if (!*matches) return false;
  }
  return true;
}

// What it depends on whether a request selects a device.
std::string selection_key(const resource::DeviceClass& of, const Value& selectors) {
  return std::string(of.metadata().name()) + "\n" + std::string(of.metadata().uid()) + "\n" +
         std::string(of.metadata().resource_version()) + "\n" + to_json(selectors);
}

}  // namespace

Result<bool> is_of_class(const resource::DeviceClass& of, const Slice& slice, const Device& device,
                         SelectorCache& selectors) {
  return all_match(static_cast<const View&>(of).value()["spec"]["selectors"], shown(slice, device),
                   "class " + std::string(of.metadata().name()), selectors);
}

// A request, or an alternative of one.
struct Allocator::Request {
  std::string base, sub;  // "gpu", and "" or the alternative's name
  Ref<resource::DeviceClass> of_class;
  const Value* selectors = &Value::null();
  const Value* tolerations = &Value::null();
  const Value* capacity = &Value::null();  // how much of each
  bool all = false, admin = false, says_admin = false;
  size_t count = 0;
  Selections::Answers selected = nullptr;
  std::string name() const { return sub.empty() ? base : base + "/" + sub; }
};

// All devices of some requests have one attribute alike, or no two of them have.
struct Allocator::Constraint {
  bool distinct = false;
  std::set<std::string, std::less<>> requests;  // empty: all
  std::string attribute;

  bool concerns(const Request& r) const {
    if (requests.empty() || requests.contains(r.base)) return true;
    return !r.sub.empty() && requests.contains(r.name());
  }
};

struct Allocator::Wanted {
  Claim claim;
  std::vector<std::vector<Request>> requests;  // the alternatives of each
  std::vector<Constraint> constraints;
};

// A place in the walk over a node's pools, slices and devices.
struct Allocator::Location {
  size_t pool = 0, slice = 0, device = 0;
};

struct Allocator::Pick {
  const Request* request;
  const Pool* pool;
  const Slice* slice;
  const Device* device;
  bool counted = false;  // its counters are taken
  Amounts taken = {};    // of its capacity
  Location after = {};   // where the search for the next one begins
};

struct Allocator::Choice {
  std::string node;
  std::vector<std::shared_ptr<Wanted>> claims;
  std::vector<std::vector<Pick>> picks;  // by claim
};

// One walk over one node.
struct Allocator::Search {
  enum class Outcome : uint8_t { kDone, kNothing, kTooMany, kFailed };
  struct At {
    size_t claim = 0, request = 0, device = 0;
    int alternative = -1;  // -1: not chosen yet
    Location from;         // of a request's next device: each is looked at once
  };
  enum class Taken : uint8_t { kYes, kNo, kAgainstConstraint };

  Search(Allocator* a, const NodeInfo& n) : owner(a), node(n), pools(a->inventory_->of(n)) {
    chosen.resize(a->claims_.size());
    // Devices that must be made ready first come last.
    std::stable_partition(pools.begin(), pools.end(), [](const Inventory::NodePool& p) {
      return std::none_of(p.slices.begin(), p.slices.end(),
                          [](const Slice* s) { return s->binds; });
    });
  }

  bool in_use(const Request& r, const Pick& want, size_t claim) const {
    if (!r.admin)
      return owner->in_use_->whole.contains(want.device->id) || taken.contains(want.device->id);
    if (want.device->shared) return false;
    return std::any_of(chosen[claim].begin(), chosen[claim].end(),
                       [&](const Pick& c) { return c.device->id == want.device->id; });
  }

  // Whether the request gets what it asks for of the device's capacity.
  bool has_capacity(Pick* c) const {
    const bool plain = c->request->capacity->empty() && !c->device->shared;
    if (plain) return c->device->has_enough;
    const Value& capacities = c->device->said.value()["capacity"];
    auto wanted = consumption(*c->request->capacity, capacities);
    if (!wanted) return false;
    Amounts used;
    if (auto at = owner->in_use_->shared.find(c->device->id); at != owner->in_use_->shared.end())
      used = at->second.taken;
    if (auto at = shares.find(c->device->id); at != shares.end())
      add_amounts(used, at->second.taken);
    if (!leaves_room(capacities, used, *wanted)) return false;
    if (c->device->shared) c->taken = std::move(*wanted);
    return true;
  }

  // What is left of a pool's counters by the devices that are in claims.
  const CounterSets& counters_left(const Pool* pool) {
    auto [at, fresh] = owner->counters_left_.try_emplace(pool, pool->counters);
    if (!fresh) return at->second;
    for (const Slice& s : pool->slices) {
      for (const Device& device : s.devices) {
        if (!owner->in_use_->any(device.id)) continue;
        for (const Value& c : device.said.value()["consumesCounters"].items())
          subtract_amounts(at->second[std::string(c["counterSet"].as_string())],
                           read_counters(c["counters"]));
      }
    }
    return at->second;
  }

  // Takes the device's counters, unless somebody has it already and so has them.
  bool take_counters(Pick* c) {
    const Value& wanted = c->device->said.value()["consumesCounters"];
    if (wanted.empty()) return true;
    if (c->device->shared &&
        (owner->in_use_->shared.contains(c->device->id) || shares.contains(c->device->id)))
      return true;
    const CounterSets& left = counters_left(c->pool);
    CounterSets after = counters[c->pool];
    for (const Value& one : wanted.items()) {
      const std::string set(one["counterSet"].as_string());
      add_amounts(after[set], read_counters(one["counters"]));
      auto there = left.find(set);
      for (const auto& [name, amount] : after[set]) {
        if (there == left.end()) return false;
        auto limit = there->second.find(name);
        if (limit == there->second.end() || amount > limit->second) return false;
      }
    }
    counters[c->pool] = std::move(after);
    c->counted = true;
    return true;
  }
  void give_counters_back(const Pick& c) {
    if (!c.counted) return;
    for (const Value& one : c.device->said.value()["consumesCounters"].items())
      subtract_amounts(counters[c.pool][std::string(one["counterSet"].as_string())],
                       read_counters(one["counters"]));
  }

  bool fits_constraints(const Wanted& wanted, size_t claim, const Pick& c) const {
    for (const Constraint& constraint : wanted.constraints) {
      if (!constraint.concerns(*c.request)) continue;
      const Value& own = attribute_of(c.device->said, c.device->id.driver, constraint.attribute);
      if (own.is_null() || !same_attribute(own, own)) return false;
      for (const Pick& other : chosen[claim]) {
        if (!constraint.concerns(*other.request)) continue;
        const bool same = same_attribute(
            own, attribute_of(other.device->said, other.device->id.driver, constraint.attribute));
        if (same == constraint.distinct) return false;
        if (!constraint.distinct) break;  // the others are like that one
      }
    }
    return true;
  }

  // Whether class and request select it, and it is of this node.
  Result<bool> selects(const Wanted& wanted, const Request& r, const Slice& slice,
                       const Device& device) {
    if (!slice.includes(device, node)) return false;
    Selections::Answer& known = (*r.selected)[device.serial];
    if (known != Selections::kUnknown) return known == Selections::kYes;
    TRY_ASSIGN(yes, is_of_class(*r.of_class, slice, device, *owner->selectors_));
    if (yes) {
      TRY_ASSIGN(by_request, all_match(*r.selectors, shown(slice, device),
                                       "claim " + place_of(*wanted.claim), *owner->selectors_));
      yes = by_request;
    }
    known = yes ? Selections::kYes : Selections::kNo;
    return yes;
  }

  // Calls `fn` with each selected device that has the capacity, from a place on, until it answers
  // true.
  template <class Fn>
  Result<bool> each_selected(const Wanted& wanted, const Request& r, Location from, Fn fn) {
    for (size_t k = from.pool; k < pools.size(); ++k) {
      const Inventory::NodePool& p = pools[k];
      if (!p.pool->complete() || p.pool->invalid) continue;
      for (size_t s = k == from.pool ? from.slice : 0; s < p.slices.size(); ++s) {
        const Slice* slice = p.slices[s];
        const size_t first = k == from.pool && s == from.slice ? from.device : 0;
        for (size_t i = first; i < slice->devices.size(); ++i) {
          const Device& device = slice->devices[i];
          if (!r.admin && !r.all &&
              (owner->in_use_->whole.contains(device.id) || taken.contains(device.id)))
            continue;  // cheaper to ask than what follows
          TRY_ASSIGN(selected, selects(wanted, r, *slice, device));
          Pick c{&r, p.pool, slice, &device};
          if (!selected || !has_capacity(&c)) continue;
          c.after = {k, s, i + 1};
          if (fn(std::move(c))) return true;
        }
      }
    }
    return false;
  }

  // The devices of each request that wants all that there are.
  Status find_all() {
    for (const auto& wanted : owner->claims_) {
      for (const auto& alternatives : wanted->requests) {
        for (const Request& r : alternatives) {
          if (!r.all) continue;
          for (const Inventory::NodePool& p : pools) {
            const char* why = !p.pool->complete() ? "being updated"
                              : p.pool->invalid   ? "invalid"
                                                  : nullptr;
            if (!why) continue;
            return Status::unavailable("claim " + place_of(*wanted->claim) + ", request " +
                                       (r.sub.empty() ? r.base : r.sub) +
                                       ": asks for all devices, but resource pool " +
                                       pool_text(*p.pool) + " is currently " + why);
          }
          auto& list = all[&r];
          TRY_ASSIGN(ended, each_selected(*wanted, r, Location(), [&](Pick c) {
                       list.push_back(std::move(c));
                       return false;
                     }));
          (void)ended;
        }
      }
    }
    return Status();
  }

  Taken take(const Wanted& wanted, size_t claim, Pick c) {
    if (in_use(*c.request, c, claim) || is_tainted(c.device->said, *c.request->tolerations))
      return Taken::kNo;
    if (!fits_constraints(wanted, claim, c)) return Taken::kAgainstConstraint;
    if (!has_capacity(&c) || !take_counters(&c)) return Taken::kNo;
    if (c.device->shared) {
      InUse::Shared& share = shares[c.device->id];
      ++share.claims;
      add_amounts(share.taken, c.taken);
    } else if (!c.request->admin) {
      taken.insert(c.device->id);
    }
    chosen[claim].push_back(std::move(c));
    return Taken::kYes;
  }
  void give_back(size_t claim) {
    const Pick& c = chosen[claim].back();
    give_counters_back(c);
    if (c.device->shared) {
      auto share = shares.find(c.device->id);
      subtract_amounts(share->second.taken, c.taken);
      if (--share->second.claims == 0) shares.erase(share);
    } else if (!c.request->admin) {
      taken.erase(c.device->id);
    }
    chosen[claim].pop_back();
  }

  Outcome go(At at) {
    if (++steps > kMostSteps) {
      failed = Status::timeout("node " + node.name + ": timed out trying to allocate devices");
      return Outcome::kFailed;
    }
    if (at.claim == owner->claims_.size()) return Outcome::kDone;
    const Wanted& wanted = *owner->claims_[at.claim];
    if (at.request == wanted.requests.size()) {
      At next;
      next.claim = at.claim + 1;
      const Outcome o = go(next);
      return o == Outcome::kTooMany ? Outcome::kNothing : o;
    }
    const auto& alternatives = wanted.requests[at.request];
    if (at.alternative >= 0) return fill(wanted, alternatives[at.alternative], at);
    bool all_too_many = true;
    for (size_t i = 0; i < alternatives.size(); ++i) {
      at.alternative = static_cast<int>(i);
      const Outcome o = go(at);
      if (o == Outcome::kDone || o == Outcome::kFailed) return o;
      all_too_many = all_too_many && o == Outcome::kTooMany;
    }
    return all_too_many ? Outcome::kTooMany : Outcome::kNothing;
  }

  Outcome fill(const Wanted& wanted, const Request& r, At at) {
    const size_t count = r.all ? all[&r].size() : r.count;
    if (r.all && count == 0) return Outcome::kNothing;
    if (at.device >= count) {
      At next;
      next.claim = at.claim;
      next.request = at.request + 1;
      return go(next);
    }
    if (chosen[at.claim].size() + count - at.device > kMostDevices) return Outcome::kTooMany;
    At next = at;
    ++next.device;
    if (r.all) {
      const Pick& one = all[&r][at.device];
      const Taken got = take(wanted, at.claim, one);
      if (got == Taken::kAgainstConstraint) {
        failed = Status::unavailable(
            "claim " + place_of(*wanted.claim) + ", request " + (r.sub.empty() ? r.base : r.sub) +
            ": cannot add device " + one.device->id.driver + "/" + one.device->id.pool + "/" +
            one.device->id.device + " because a claim constraint would not be satisfied");
        return Outcome::kFailed;
      }
      if (got == Taken::kNo) return Outcome::kNothing;
      const Outcome o = go(next);
      if (o != Outcome::kDone) give_back(at.claim);
      return o;
    }
    Outcome out = Outcome::kNothing;
    auto walked = each_selected(wanted, r, at.from, [&](Pick c) {
      next.from = c.after;
      if (take(wanted, at.claim, std::move(c)) != Taken::kYes) return false;
      const Outcome o = go(next);
      if (o != Outcome::kDone) give_back(at.claim);
      if (o == Outcome::kNothing) return false;
      out = o;
      return true;
    });
    if (!walked.ok()) {
      failed = walked.status();
      return Outcome::kFailed;
    }
    return out;
  }

  Allocator* owner;
  const NodeInfo& node;
  std::vector<Inventory::NodePool> pools;
  std::map<const Request*, std::vector<Pick>> all;
  std::vector<std::vector<Pick>> chosen;        // by claim
  std::set<DeviceId> taken;                     // whole
  std::map<DeviceId, InUse::Shared> shares;     // of devices that others may have, too
  std::map<const Pool*, CounterSets> counters;  // taken
  int64_t steps = 0;
  Status failed;
};

Allocator::Allocator(const Inventory* inventory, SelectorCache* selectors, const InUse* in_use,
                     Selections* selections)
    : inventory_(inventory),
      selectors_(selectors),
      in_use_(in_use),
      selections_(selections ? selections : &own_selections_) {}

namespace {

// What an exact request and an alternative have alike.
template <class R, class Source>
Status read_request(const Source& source, const std::string& where, const FindClass& find_class,
                    R* out) {
  const std::string name(source.device_class_name());
  out->of_class = find_class(name);
  if (!out->of_class) {
    return Status::unavailable(where + ": could not retrieve device class " + name +
                               ": deviceclass.resource.k8s.io \"" + name + "\" not found");
  }
  out->selectors = &source.value()["selectors"];
  out->tolerations = &source.value()["tolerations"];
  out->capacity = &source.value()["capacity"]["requests"];
  out->all = source.allocation_mode() == "All";
  if (!out->all && source.allocation_mode() != "ExactCount") {
    return Status::unavailable(where + ": unsupported count mode " +
                               std::string(source.allocation_mode()));
  }
  out->count = static_cast<size_t>(std::clamp<int64_t>(source.count(), 0, INT32_MAX));
  return Status();
}

}  // namespace

Status Allocator::add(Claim claim, const FindClass& find_class) {
  auto wanted = std::make_shared<Wanted>();
  wanted->claim = claim;
  const std::string place = "claim " + place_of(*claim);
  const auto devices = claim->spec().devices();
  size_t least = 0;
  for (resource::DeviceRequest request : devices.requests()) {
    std::vector<Request> alternatives;
    auto read = [&](const auto& source, std::string_view sub) -> Status {
      Request r;
      r.base = request.name();
      r.sub = sub;
      const std::string where =
          place + ", request " + std::string(sub.empty() ? request.name() : sub);
      TRY(read_request(source, where, find_class, &r));
      r.selected = selections_->of(selection_key(*r.of_class, *r.selectors), inventory_->devices());
      alternatives.push_back(std::move(r));
      return Status();
    };
    if (request.has_exactly()) {
      TRY(read(request.exactly(), ""));
      alternatives.back().admin = request.exactly().admin_access();
    }
    for (resource::DeviceSubRequest sub : request.first_available()) TRY(read(sub, sub.name()));
    if (alternatives.empty()) {
      return Status::unavailable(place + ", request " + std::string(request.name()) +
                                 ": unknown request type");
    }
    size_t fewest = SIZE_MAX;
    for (const Request& r : alternatives) fewest = std::min(fewest, r.all ? 0 : r.count);
    least += fewest;
    wanted->requests.push_back(std::move(alternatives));
  }
  if (least > kMostDevices) {
    return Status::unavailable(place + ": number of requested devices " + std::to_string(least) +
                               " exceeds the claim limit of " + std::to_string(kMostDevices));
  }
  int number = 0;
  for (resource::DeviceConstraint c : devices.constraints()) {
    if (!c.has_match_attribute() && !c.has_distinct_attribute()) {
      return Status::unavailable(place + ", constraint #" + std::to_string(number) +
                                 ": empty constraint (unsupported constraint type?)");
    }
    ++number;
    Constraint made;
    made.distinct = !c.has_match_attribute();
    made.attribute = made.distinct ? c.distinct_attribute() : c.match_attribute();
    for (std::string_view name : c.requests()) made.requests.emplace(name);
    wanted->constraints.push_back(std::move(made));
  }
  claims_.push_back(std::move(wanted));
  return Status();
}

namespace {

// Where the devices can be used, as a node selector: null where that is everywhere.
Result<Value> node_selector(Arena& a, const std::vector<const Value*>& said, bool binds,
                            const std::string& at_node, const std::string& claim) {
  Value term = Value::map();
  for (const Value* v : said) {
    if (binds || !(*v)["nodeName"].as_string().empty()) {
      Value values = Value::list();
      values.append(a, Value::string(a.copy(at_node)));
      Value field = Value::map();
      field.set(a, "key", Value::string("metadata.name"));
      field.set(a, "operator", Value::string("In"));
      field.set(a, "values", values);
      Value fields = Value::list();
      fields.append(a, field);
      term = Value::map();
      term.set(a, "matchFields", fields);
      break;
    }
    const auto terms = (*v)["nodeSelector"]["nodeSelectorTerms"].items();
    if (terms.empty()) continue;
    if (terms.size() > 1) {
      return Status::unavailable("create NodeSelector for claim " + claim +
                                 ": unsupported ResourceSlice.NodeSelector with " +
                                 std::to_string(terms.size()) + " terms");
    }
    for (std::string_view list : {"matchExpressions", "matchFields"}) {
      for (const Value& one : terms[0][list].items()) {
        Value& to = term.get_or_add(a, list);
        if (!to.is_list()) to = Value::list();
        const auto have = to.items();
        const bool known =
            std::any_of(have.begin(), have.end(), [&](const Value& h) { return h.equals(one); });
        if (!known) to.append(a, deep_copy(a, one));
      }
    }
  }
  if (term.empty()) return Value();
  Value terms = Value::list();
  terms.append(a, term);
  Value out = Value::map();
  out.set(a, "nodeSelectorTerms", terms);
  return out;
}

void add_config(Document& d, Value& list, const char* source, const Value& requests,
                const Value& config) {
  Value& one = list.append(d.arena, Value::map());
  one.set(d.arena, "source", Value::string(source));
  if (!requests.empty()) one.set(d.arena, "requests", deep_copy(d.arena, requests));
  if (!config["opaque"].is_null()) {
    one.set(d.arena, "opaque", deep_copy(d.arena, config["opaque"]));
  }
}

// Which share of a device this is, and how much.
void add_share(Document& d, Value& one, const Amounts& taken, Random& random) {
  one.set(d.arena, "shareID", Value::string(d.arena.copy(random.uuid())));
  if (taken.empty()) return;
  Value& list = one.set(d.arena, "consumedCapacity", Value::map());
  for (const auto& [name, q] : taken)
    list.set(d.arena, d.arena.copy(name), Value::string(d.arena.copy(q.to_string())));
}

}  // namespace

Result<Allocator::Chosen> Allocator::allocate(const NodeInfo& node) {
  why_.clear();
  Search search(this, node);
  TRY(search.find_all());
  const Search::Outcome outcome = search.go(Search::At());
  if (outcome == Search::Outcome::kFailed) return search.failed;
  if (outcome != Search::Outcome::kDone) {
    const bool invalid = std::any_of(search.pools.begin(), search.pools.end(),
                                     [](const auto& p) { return p.pool->invalid; });
    if (invalid) why_ = "invalid resource pools were encountered";
    return Chosen();
  }
  auto out = std::make_shared<Choice>();
  out->node = node.name;
  out->claims = claims_;
  out->picks = std::move(search.chosen);
  for (size_t i = 0; i < claims_.size(); ++i) {
    const bool odd = std::any_of(out->picks[i].begin(), out->picks[i].end(), [](const Pick& c) {
      return place_said(c)["nodeSelector"]["nodeSelectorTerms"].size() > 1;
    });
    if (!odd) continue;
    Arena scratch;  // for whether it can be said where they are
    TRY_ASSIGN(selector, places_of(scratch, *out, i));
    (void)selector;
  }
  return Chosen(std::move(out));
}

const Value& Allocator::place_said(const Pick& c) {
  return c.slice->of_device.empty() ? c.slice->object->value()["spec"] : c.device->said.value();
}

Result<Value> Allocator::places_of(Arena& a, const Choice& choice, size_t claim) {
  std::vector<const Value*> places;
  bool binds = false;
  for (const Pick& c : choice.picks[claim]) {
    binds |= c.device->said.value()["bindsToNode"].as_bool();
    places.push_back(&place_said(c));
  }
  return node_selector(a, places, binds, choice.node,
                       std::string(choice.claims[claim]->claim->metadata().name()));
}

Result<std::vector<Document>> Allocator::results(const Choice& choice, Random& random) {
  std::vector<Document> out;
  for (size_t i = 0; i < choice.claims.size(); ++i) {
    const Wanted& wanted = *choice.claims[i];
    Document d;
    Arena& a = d.arena;
    Value results = Value::list(), config = Value::list();
    std::map<std::string, Value> names_of_class;  // the requests of each, in order
    std::vector<Ref<resource::DeviceClass>> classes;
    std::set<std::string> used;
    for (const Pick& c : choice.picks[i]) {
      Value& one = results.append(a, Value::map());
      const std::string name = c.request->name();
      one.set(a, "request", Value::string(a.copy(name)));
      one.set(a, "driver", Value::string(a.copy(c.device->id.driver)));
      one.set(a, "pool", Value::string(a.copy(c.device->id.pool)));
      one.set(a, "device", Value::string(a.copy(c.device->id.device)));
      if (c.request->admin) one.set(a, "adminAccess", Value(true));
      if (!c.request->tolerations->empty()) {
        one.set(a, "tolerations", deep_copy(a, *c.request->tolerations));
      }
      const Value& device = c.device->said.value();
      for (std::string_view list : {"bindingConditions", "bindingFailureConditions"})
        if (!device[list].empty()) one.set(a, list, deep_copy(a, device[list]));
      if (c.device->shared) add_share(d, one, c.taken, random);
      if (!used.insert(name).second) continue;
      const std::string of_class(c.request->of_class->metadata().name());
      auto [at, fresh] = names_of_class.try_emplace(of_class, Value::list());
      if (fresh) classes.push_back(c.request->of_class);
      at->second.append(a, Value::string(a.copy(name)));
    }
    for (const auto& of_class : classes) {
      const Value& names = names_of_class[std::string(of_class->metadata().name())];
      for (const Value& c : of_class->value()["spec"]["config"].items()) {
        add_config(d, config, "FromClass", names, c);
      }
    }
    for (const Value& c : wanted.claim->value()["spec"]["devices"]["config"].items()) {
      const auto names = c["requests"].items();
      const bool concerns =
          names.empty() || std::any_of(names.begin(), names.end(), [&](const Value& n) {
            const std::string text(n.as_string());
            return used.contains(text) ||
                   std::any_of(used.begin(), used.end(),
                               [&](const std::string& u) { return u.starts_with(text + "/"); });
          });
      if (concerns) add_config(d, config, "FromClaim", c["requests"], c);
    }
    TRY_ASSIGN(selector, places_of(a, choice, i));
    Value devices = Value::map();
    if (!results.empty()) devices.set(a, "results", results);
    if (!config.empty()) devices.set(a, "config", config);
    d.root = Value::map();
    d.root.set(a, "devices", devices);
    if (!selector.is_null()) d.root.set(a, "nodeSelector", selector);
    out.push_back(std::move(d));
  }
  return out;
}

}  // namespace keles::scheduler::dra
