#include "scheduler/extenders/extender.h"

#include <algorithm>

#include "base/encoding.h"
#include "cel/url.h"
#include "net/address.h"
#include "scheduler/extenders/wire.h"
#include "scheduler/preemption.h"

namespace keles::scheduler {
namespace {

constexpr size_t kLeastAnswer = size_t{1} << 20;
constexpr size_t kMostAnswer = size_t{64} << 20;
constexpr int64_t kHighestScore = 10;  // MaxExtenderPriority

// It may send back what it was sent, and a text for each node.
size_t most_for(size_t asked) { return std::min(kMostAnswer, kLeastAnswer + 4 * asked); }

Status lied(const std::string& extender, const std::string& what) {
  return Status::internal("extender " + quoted(extender) + " " + what);
}

// Whatever it says stays far from where sums overflow.
int64_t weighted(int64_t score, int64_t weight) {
  constexpr int64_t kFar = int64_t{1} << 50;
  const __int128 exact = static_cast<__int128>(score) * weight * (kMaxScore / kHighestScore);
  return static_cast<int64_t>(std::clamp<__int128>(exact, -kFar, kFar));
}

bool asks_for_one(const api::core_v1::Container& container,
                  const std::set<std::string, std::less<>>& names) {
  for (const char* list : {"requests", "limits"}) {
    for (const Member& m : container.value()["resources"][list].members())
      if (names.contains(m.key())) return true;
  }
  return false;
}

}  // namespace

Result<ExtenderPlace> read_extender_url(const std::string& url) {
  auto parsed = cel::parse_url(url);
  if (!parsed.ok()) return parsed.status();
  ExtenderPlace out;
  out.tls = parsed->scheme == "https";
  if ((!out.tls && parsed->scheme != "http") || cel::url_hostname(parsed->host).empty())
    return Status::bad_request("must be an http or https URL with a host");
  if (parsed->has_query || !parsed->query.empty() || parsed->has_user || !parsed->fragment.empty())
    return Status::bad_request("must be a prefix, without user, query and fragment");
  out.host = cel::url_hostname(parsed->host);
  out.authority = parsed->host;
  out.path = parsed->escaped_path;
  while (out.path.ends_with('/')) out.path.pop_back();
  out.port = out.tls ? 443 : 80;
  if (const std::string_view text = cel::url_port(parsed->host); !text.empty()) {
    auto port = net::parse_port(text);
    if (!port) return Status::bad_request("the port is none");
    out.port = *port;
  }
  return out;
}

bool Extender::is_interested(const api::core_v1::Pod& pod) const {
  if (options_.managed.empty()) return true;
  for (auto c : pod.spec().containers())
    if (asks_for_one(c, options_.managed)) return true;
  for (auto c : pod.spec().init_containers())
    if (asks_for_one(c, options_.managed)) return true;
  return false;
}

Task<Result<net::Response>> Extender::send(Context ctx, net::Request request, size_t most) {
  if (options_.send) {
    auto answered = co_await options_.send(ctx, std::move(request));
    co_return std::move(answered);
  }
  auto http = http_;
  auto response = co_await http->send(ctx, std::move(request), most);
  co_return std::move(response);
}

Task<Result<std::string>> Extender::post(Context ctx, std::string verb, std::string body) {
  auto read = read_extender_url(options_.url);
  if (!read.ok()) co_return read.status();
  const ExtenderPlace place = std::move(*read);
  if (!http_ && !options_.send) {
    net::Endpoint e;
    e.host = place.host;
    e.port = place.port;
    if (place.tls) e.tls = options_.tls;
    http_ = net::HttpClient::create(ctx.loop(), std::move(e));
  }
  std::string url = options_.url;
  while (url.ends_with('/')) url.pop_back();
  url += "/" + verb;
  const size_t most = most_for(body.size());
  net::Request request("POST", net::encode_target(place.path + "/" + verb), "", std::move(body));
  request.headers.add("Host", place.authority);
  request.headers.add("Content-Type", "application/json");
  Context limited = ctx.with_timeout(options_.timeout);
  auto answer = co_await send(limited, std::move(request), most);
  if (!answer.ok()) {
    const bool late = limited.done() && !ctx.done();
    const std::string why = late ? "context deadline exceeded" : answer.status().message();
    co_return Status(Reason::kServiceUnavailable, "Post " + quoted(url) + ": " + why);
  }
  if (answer->status != 200) {
    co_return Status::internal("failed " + verb + " with extender at URL " + url + ", code " +
                               std::to_string(answer->status));
  }
  co_return std::move(answer->body);
}

std::string Extender::args_for(const Question& q) const {
  return options_.node_cache_capable ? extender_wire::args(*q.pod, q.names)
                                     : extender_wire::args(*q.pod, q.nodes);
}

Task<Result<Extender::Answer>> Extender::filter(Context ctx, std::shared_ptr<const Question> q) {
  Answer all;
  all.left = q->names;
  if (options_.filter_verb.empty()) co_return all;
  std::string body = args_for(*q);
  TRY_ASSIGN_CO(text, post(ctx, options_.filter_verb, std::move(body)));
  Result<Answer> judged = read_filtered(*q, text);
  co_return judged;
}

Result<Extender::Answer> Extender::read_filtered(const Question& q, std::string_view text) const {
  TRY_ASSIGN(said, extender_wire::read_filtered(text));
  if (!said.error.empty()) return Status::internal(said.error);
  std::vector<std::string> named;
  if (options_.node_cache_capable && said.names) {
    named = std::move(*said.names);
  } else if (said.nodes) {
    named = std::move(*said.nodes);
  }
  const std::set<std::string> offered(q.names.begin(), q.names.end());
  for (const std::string& name : named) {
    if (offered.contains(name)) continue;
    return lied(options_.url, "claims a filtered node " + quoted(name) +
                                  " which is not found in the input node list");
  }
  Answer out;
  const std::set<std::string> kept(named.begin(), named.end());
  for (const std::string& name : q.names)
    if (kept.contains(name)) out.left.push_back(name);
  auto about_others = [&](const auto& e) { return !offered.contains(e.first); };
  std::erase_if(said.failed, about_others);
  std::erase_if(said.unresolvable, about_others);
  out.failed = std::move(said.failed);
  out.unresolvable = std::move(said.unresolvable);
  return out;
}

Task<Result<std::map<std::string, int64_t>>> Extender::prioritize(
    Context ctx, std::shared_ptr<const Question> q) {
  std::map<std::string, int64_t> out;
  if (options_.prioritize_verb.empty()) co_return out;
  std::string body = args_for(*q);
  TRY_ASSIGN_CO(text, post(ctx, options_.prioritize_verb, std::move(body)));
  auto said = extender_wire::read_priorities(text);
  if (!said.ok()) co_return said.status();
  const std::set<std::string> offered(q->names.begin(), q->names.end());
  for (const auto& [host, score] : *said)
    if (offered.contains(host)) out[host] = weighted(score, options_.weight);
  co_return out;
}

Task<Status> Extender::bind(Context ctx, ObjectPtr pod, std::string node) {
  std::string body = extender_wire::binding_args(*pod, node);
  TRY_ASSIGN_CO(text, post(ctx, options_.bind_verb, std::move(body)));
  auto error = extender_wire::read_binding(text);
  if (!error.ok()) co_return error.status();
  if (!error->empty()) co_return Status::internal(*error);
  co_return Status();
}

Task<Result<std::vector<Candidate>>> Extender::preempt(Context ctx,
                                                       std::shared_ptr<const Preemption> p) {
  std::map<std::string, extender_wire::Offer> offers;
  for (const Candidate& c : p->candidates) {
    extender_wire::Offer& offer = offers[c.node];
    offer.violations = c.violations;
    for (const PodPtr& v : c.victims)
      if (ObjectPtr object = p->object_of(*v)) offer.victims.push_back(std::move(object));
  }
  std::string body = extender_wire::preemption_args(*p->pod, offers, options_.node_cache_capable);
  TRY_ASSIGN_CO(text, post(ctx, options_.preempt_verb, std::move(body)));
  Result<std::vector<Candidate>> judged = read_candidates(*p, text);
  co_return judged;
}

Result<std::vector<PodPtr>> Extender::read_victims(const Preemption& p, const std::string& node,
                                                   const std::vector<std::string>& uids) const {
  const std::vector<PodPtr> there = p.pods_of(node);
  std::vector<PodPtr> out;
  for (const std::string& uid : uids) {
    auto at =
        std::find_if(there.begin(), there.end(), [&](const PodPtr& x) { return x->uid == uid; });
    if (at == there.end()) {
      return lied(options_.url, "claims to preempt pod (UID: " + uid + ") on node: " + node +
                                    ", but the pod is not found on that node");
    }
    if ((*at)->priority >= p.priority) {
      return lied(options_.url,
                  "claims to preempt pod " + (*at)->key() + ", which is not less important");
    }
    if (std::find(out.begin(), out.end(), *at) == out.end()) out.push_back(*at);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const PodPtr& a, const PodPtr& b) { return more_important(*a, *b); });
  return out;
}

Result<std::vector<Candidate>> Extender::read_candidates(const Preemption& p,
                                                         std::string_view text) const {
  TRY_ASSIGN(said, extender_wire::read_preemption(text));
  std::vector<Candidate> out;
  for (const Candidate& c : p.candidates) {
    auto at = said.find(c.node);
    if (at == said.end()) continue;
    const extender_wire::Victims victims = std::move(at->second);
    said.erase(at);
    if (victims.uids.empty()) {
      if (options_.ignorable) continue;
      return Status::internal("expected at least one victim pod on node " + quoted(c.node));
    }
    TRY_ASSIGN(pods, read_victims(p, c.node, victims.uids));
    Candidate kept;
    kept.node = c.node;
    kept.victims = std::move(pods);
    kept.violations = static_cast<int>(std::clamp<int64_t>(victims.violations, 0, 1 << 20));
    out.push_back(std::move(kept));
  }
  if (said.empty()) return out;
  return lied(options_.url,
              "claims victims on node " + quoted(said.begin()->first) + ", which was not offered");
}

}  // namespace keles::scheduler
