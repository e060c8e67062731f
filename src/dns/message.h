// DNS messages (RFC 1035, SRV RFC 2782, EDNS(0) RFC 6891): reading a query, writing an answer.
// Pure functions; names are lower case, without the trailing dot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keles::dns {

enum Type : uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kOpt = 41,
  kAny = 255,
};
enum Rcode : uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5
};

struct Query {
  uint16_t id = 0;
  bool recursion_desired = false;
  uint8_t opcode = 0;
  std::string name;           // as matched: lower case
  std::string name_as_asked;  // echoed in the answer (some resolvers check its letter case)
  uint16_t type = 0, klass = 1;
  std::optional<uint16_t> edns_payload;  // present: the client speaks EDNS(0)
};

struct Record {
  std::string name;
  uint16_t type;
  uint32_t ttl_seconds;
  std::string text;  // A: dotted; AAAA: text form; CNAME, PTR, NS, SRV: the target; TXT: the text
  uint16_t priority = 0, weight = 100, port = 0;  // SRV
};

struct Answer {
  Rcode rcode = kNoError;
  bool authoritative = true;
  std::vector<Record> answers, additional;
  std::string chase;  // the last CNAME's target, where whoever is asked next must say what it is
  bool soa = false;   // put the zone's SOA into the authority section (negative answers)
};

// kBadRequest for anything that is not one well-formed question.
Result<Query> parse_query(std::string_view message);

// The reply to `query`, at most `limit` bytes: what does not fit is cut and TC is set.
std::string write_answer(const Query& query, const Answer& answer, std::string_view zone,
                         size_t limit);

// A question of our own, recursion desired.
std::string write_question(uint16_t id, std::string_view name, uint16_t type);
// The addresses and aliases in the answer section of a reply, at most 64. kBadRequest for anything
// that is no well-formed reply.
Result<Answer> parse_answer(std::string_view message);

// Where the TTLs of a reply's records stand, at most 512 of them (the pseudo record of EDNS has
// none). kBadRequest for anything that is no well-formed reply.
Result<std::vector<size_t>> ttl_offsets(std::string_view message);

// How large a UDP reply the client accepts.
size_t udp_limit(const Query& query);

}  // namespace keles::dns
