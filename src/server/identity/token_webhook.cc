#include "server/identity/token_webhook.h"

#include <algorithm>

#include "base/log.h"
#include "machinery/codec_json.h"
#include "net/pki.h"
#include "server/identity/retry.h"

namespace keles::identity {
namespace {

using Word = auth::TokenWord::Word;
constexpr size_t kAnswerBytes = 3 << 20;

// Tokens are secrets: they are remembered by their digest.
std::string question_of(std::string_view token, const std::vector<std::string>& audiences) {
  std::string out = net::sha256(token);
  for (const std::string& a : audiences) out += a + '\0';
  return out;
}

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

std::string unescaped_list(const std::vector<std::string>& list) {
  std::string out = "[";
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0) out += ',';
    write_json_string(out, list[i]);
  }
  return out + "]";
}

}  // namespace

std::string token_review_text(std::string_view version, std::string_view token,
                              const std::vector<std::string>& audiences) {
  std::string out = "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/";
  out += version;
  out += "\",\"metadata\":{},\"spec\":{\"token\":";
  write_json_string(out, token);
  if (!audiences.empty()) out += ",\"audiences\":" + unescaped_list(audiences);
  return out + "},\"status\":{\"user\":{}}}";
}

auth::TokenWord read_token_review(std::string_view answer,
                                  const std::vector<std::string>& audiences,
                                  const std::vector<std::string>& api_audiences) {
  auth::TokenWord out;
  auto doc = parse_json(answer);
  if (!doc.ok() || !doc->root["status"].is_map()) {
    out.word = Word::kRefused;
    out.error = "the webhook's answer is no TokenReview";
    return out;
  }
  const Value& status = doc->root["status"];
  std::vector<std::string> got = texts(status["audiences"]);
  if (got.empty()) got = api_audiences;
  for (const std::string& a : audiences) {
    if (std::find(got.begin(), got.end(), a) != got.end()) out.identity.audiences.push_back(a);
  }
  if (!audiences.empty() && out.identity.audiences.empty()) return out;
  if (!status["authenticated"].as_bool()) {
    out.error = status["error"].as_string();
    if (!out.error.empty()) out.word = Word::kRefused;
    return out;
  }
  const Value& user = status["user"];
  Caller& c = out.identity.caller;
  c.name = user["username"].as_string();
  c.uid = user["uid"].as_string();
  c.groups = texts(user["groups"]);
  for (const Member& m : user["extra"].members()) c.extra[std::string(m.key())] = texts(m.value);
  out.word = Word::kKnown;
  return out;
}

auth::TokenWord TokenWebhook::now(std::string_view token, const std::vector<std::string>& audiences,
                                  WallTime now) const {
  auto known = memory_.find(question_of(token, audiences), now.ns);
  if (known) return std::move(*known);
  auth::TokenWord open;
  open.word = Word::kAsk;
  return open;
}

Task<auth::TokenWord> TokenWebhook::ask(Context ctx, std::string token,
                                        std::vector<std::string> audiences) {
  auto self = shared_from_this();
  std::string body = token_review_text(options_.version, token, audiences);
  auto answer =
      co_await post_with_patience(ctx, at_, std::move(body), options_.timeout, kAnswerBytes);
  auth::TokenWord out;
  if (!answer.ok()) {
    log::error("Failed to make webhook authenticator request", {{"err", answer.status()}});
    out.word = Word::kRefused;
    out.error = answer.status().message();
    co_return out;
  }
  out = read_token_review(*answer, audiences, options_.api_audiences);
  if (options_.ttl > Duration()) {
    const WallTime until = ctx.loop().wall_now() + options_.ttl;
    memory_.keep(question_of(token, audiences), out, until.ns);
  }
  co_return out;
}

}  // namespace keles::identity
