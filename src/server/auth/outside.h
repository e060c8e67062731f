// What authentication and authorization ask of somebody else: issuers of tokens and webhooks. A
// decision is made by a plain function, at once, whenever what is known suffices. Where it does not
// (an answer that is not remembered), the function notes the question in `Questions` and its result
// counts for nothing; Auth::ask() has the question answered, and the function is called again:
//
//   Questions open(loop.now());
//   Status s = auth.authorize(caller, access, &open);
//   while (open.pending()) {
//     co_await auth.ask(ctx, &open);
//     s = auth.authorize(caller, access, &open);
//   }
//
// A request's answers are kept with its Questions: what was asked is asked once. Without Questions
// (nullptr) whoever would have to be asked has no opinion, and a webhook that fails closed denies.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "server/auth/caller.h"

namespace keles::auth {

struct TokenIdentity {
  Caller caller;
  std::vector<std::string> audiences;      // of the token, of those asked for
  std::vector<std::string> warnings = {};  // for whoever used it
};

// What an authorizer says.
struct Verdict {
  enum class Word : uint8_t { kNoOpinion, kAllow, kDeny, kAsk };
  Word word = Word::kNoOpinion;
  std::string reason, error;
};

// Any thread; ask() on the loop of its context. Both outlive their calls by shared_ptr.
class OutsideAuthorizer {
 public:
  virtual ~OutsideAuthorizer() = default;
  // kAsk when it must be asked.
  virtual Verdict now(const Caller& caller, const Access& access, TimePoint now) const = 0;
  virtual Task<Verdict> ask(Context ctx, Caller caller, Access access) = 0;
  // What it says when it cannot be asked.
  virtual Verdict unasked() const = 0;
};

// What a token's issuer says: nothing when the token is none of his.
struct TokenWord {
  enum class Word : uint8_t { kNotMine, kKnown, kRefused, kAsk };
  Word word = Word::kNotMine;
  TokenIdentity identity;  // kKnown
  std::string error;       // kRefused
};

class OutsideTokens {
 public:
  virtual ~OutsideTokens() = default;
  // `audiences` are those that the server or the asker is.
  virtual TokenWord now(std::string_view token, const std::vector<std::string>& audiences,
                        WallTime now) const = 0;
  virtual Task<TokenWord> ask(Context ctx, std::string token,
                              std::vector<std::string> audiences) = 0;
};

class Questions {
 public:
  explicit Questions(TimePoint now) : now_(now) {}
  bool pending() const { return access_.has_value() || token_.has_value(); }

  // For who decides: the answer, or kAsk, and it is noted that it is to be asked.
  Verdict known(const std::shared_ptr<OutsideAuthorizer>& whom, const Caller& caller,
                const Access& access);
  TokenWord known(const std::shared_ptr<OutsideTokens>& whom, const std::string& token,
                  const std::vector<std::string>& audiences);
  TimePoint now() const { return now_; }
  Task<void> ask(Context ctx);

 private:
  struct AccessQuestion {
    std::shared_ptr<OutsideAuthorizer> whom;
    Caller caller;
    Access access;
    Verdict answer = {};
  };
  struct TokenQuestion {
    std::shared_ptr<OutsideTokens> whom;
    std::string token;
    std::vector<std::string> audiences;
    TokenWord answer = {};
  };
  TimePoint now_;                         // when the request began
  std::optional<AccessQuestion> access_;  // the first that is open
  std::optional<TokenQuestion> token_;
  std::vector<AccessQuestion> answered_;
  std::vector<TokenQuestion> tokens_answered_;
};

}  // namespace keles::auth
