#include "server/auth/outside.h"

#include <algorithm>

namespace keles::auth {
namespace {

bool same(const Access& a, const Access& b) {
  auto same_demands = [](const std::vector<SelectorDemand>& x,
                         const std::vector<SelectorDemand>& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& p, const auto& q) {
      return p.key == q.key && p.op == q.op && p.values == q.values;
    });
  };
  return a.verb == b.verb && a.group == b.group && a.version == b.version &&
         a.resource == b.resource && a.subresource == b.subresource && a.ns == b.ns &&
         a.name == b.name && a.path == b.path && same_demands(a.field_demands, b.field_demands) &&
         same_demands(a.label_demands, b.label_demands);
}

bool same(const Caller& a, const Caller& b) {
  return a.name == b.name && a.uid == b.uid && a.groups == b.groups && a.extra == b.extra;
}

}  // namespace

Verdict Questions::known(const std::shared_ptr<OutsideAuthorizer>& whom, const Caller& caller,
                         const Access& access) {
  for (const AccessQuestion& q : answered_) {
    if (q.whom == whom && same(q.access, access) && same(q.caller, caller)) return q.answer;
  }
  if (!pending()) access_.emplace(AccessQuestion{whom, caller, access});
  Verdict open;
  open.word = Verdict::Word::kAsk;
  return open;
}

TokenWord Questions::known(const std::shared_ptr<OutsideTokens>& whom, const std::string& token,
                           const std::vector<std::string>& audiences) {
  for (const TokenQuestion& q : tokens_answered_) {
    if (q.whom == whom && q.token == token && q.audiences == audiences) return q.answer;
  }
  if (!pending()) token_.emplace(TokenQuestion{whom, token, audiences});
  TokenWord open;
  open.word = TokenWord::Word::kAsk;
  return open;
}

Task<void> Questions::ask(Context ctx) {
  if (access_) {
    AccessQuestion q = std::move(*access_);
    access_.reset();
    auto whom = q.whom;
    Caller caller = q.caller;
    Access access = q.access;
    q.answer = co_await whom->ask(ctx, std::move(caller), std::move(access));
    answered_.push_back(std::move(q));
  } else if (token_) {
    TokenQuestion q = std::move(*token_);
    token_.reset();
    auto whom = q.whom;
    std::string token = q.token;
    std::vector<std::string> audiences = q.audiences;
    q.answer = co_await whom->ask(ctx, std::move(token), std::move(audiences));
    tokens_answered_.push_back(std::move(q));
  }
}

}  // namespace keles::auth
