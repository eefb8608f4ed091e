"""Dialogues with made-up tools: choose the tool that fits the request and copy names and values.

Some tools come from everyday life; most are put together from a verb, a noun and parameters that are words of the
tokenizer's vocabulary, so that nothing but reading the offered tools helps.
"""

import json

from dialogues.coding import OPENERS, maybe_system, polish
from dialogues.file_tools import assistant_call, tool

VERBS = ["get", "set", "find", "create", "delete", "update", "send", "start", "stop", "open", "close", "check", "count", "convert", "merge", "split", "load", "save", "move", "copy",
         "rename", "print", "scan", "lock", "unlock", "enable", "disable", "book", "cancel", "order", "rotate", "resize", "compress", "encrypt", "translate", "schedule", "measure",
         "calculate", "validate", "publish", "archive", "restore", "assign", "remove", "add", "fetch", "list", "describe", "compare", "sort", "filter", "export", "import", "sync",
         "reset", "launch", "pause", "resume", "track", "rate", "share", "invite", "block", "approve", "reject", "refund", "charge", "deploy", "build", "test", "clean", "paint",
         "water", "feed", "heat", "cool", "wash", "play", "record", "queue", "mute"]
NOUNS = ["invoice", "customer", "order", "ticket", "account", "message", "camera", "door", "window", "light", "garden", "recipe", "song", "album", "photo", "video", "report",
         "meeting", "calendar", "contact", "address", "package", "shipment", "payment", "coupon", "room", "hotel", "flight", "train", "bus", "taxi", "route", "map", "server",
         "database", "table", "column", "index", "backup", "cluster", "container", "image", "volume", "network", "router", "sensor", "robot", "drone", "printer", "document",
         "contract", "survey", "poll", "badge", "course", "lesson", "exam", "student", "teacher", "patient", "doctor", "clinic", "prescription", "sample", "molecule", "planet",
         "star", "telescope", "boat", "bridge", "tower", "engine", "battery", "valve", "pump", "tank", "furnace", "oven", "fridge", "kettle", "lamp", "thermostat", "alarm",
         "ledger", "budget", "loan", "stock", "bond", "currency", "wallet", "token", "key", "certificate", "policy", "claim", "parcel", "library", "book", "shelf", "magazine",
         "podcast", "channel", "playlist", "game", "player", "team", "league", "match", "score", "horse", "dog", "cat", "bird", "fish", "plant", "tree", "flower", "seed"]
PARAMS = ["id", "name", "title", "date", "time", "city", "country", "amount", "price", "count", "limit", "size", "color", "level", "speed", "target", "source", "label", "note",
          "reason", "status", "category", "language", "format", "priority", "duration", "width", "height", "email", "phone", "address", "code", "number", "version", "mode", "unit",
          "owner", "user", "group", "region", "zone", "port", "host", "topic", "tag", "comment", "quantity", "weight", "angle", "temperature", "volume", "start", "end", "page"]
STRINGS = ["blue", "red", "green", "yellow", "black", "white", "London", "Paris", "Berlin", "Tokyo", "Madrid", "Rome", "Oslo", "Vienna", "Lisbon", "Cairo", "alpha", "beta", "gamma",
           "delta", "omega", "north", "south", "east", "west", "monday", "tuesday", "friday", "sunday", "large", "small", "medium", "fast", "slow", "high", "low", "Alice", "Bob",
           "Carol", "Dave", "Eve", "Frank", "Grace", "Henry", "Iris", "Jack", "apple", "banana", "cherry", "lemon", "mango", "coffee", "tea", "water", "paper", "glass", "wood"]
STYLES = [lambda v, n: f"{v}_{n}", lambda v, n: f"{v}_{n}", lambda v, n: f"{v}{n.capitalize()}", lambda v, n: f"{n}_{v}", lambda v, n: f"{v}-{n}", lambda v, n: f"{n}.{v}",
          lambda v, n: f"{v.capitalize()}{n.capitalize()}", lambda v, n: f"{v}_the_{n}", lambda v, n: f"{v}_{n}_tool", lambda v, n: f"do_{v}_{n}"]


class Words:
    """Word lists; with the tokenizer's vocabulary also thousands of odd words. Held-out words stay unseen."""

    def __init__(self, vocabulary=()):
        odd = sorted({t for t in vocabulary if t.isascii() and t.isalpha() and t.islower() and 4 <= len(t) <= 10})
        self.odd = [w for i, w in enumerate(odd) if i % 25 != 7]
        self.held_out = [w for i, w in enumerate(odd) if i % 25 == 7]

    def noun(self, rng, unseen=False):
        if unseen:
            return rng.choice(self.held_out)
        if self.odd and rng.random() < 0.6:
            return rng.choice(self.odd)
        return rng.choice(NOUNS)

    def param(self, rng, unseen=False):
        if unseen:
            return rng.choice(self.held_out) + rng.choice(["", "", "_id", "_name"])
        if self.odd and rng.random() < 0.5:
            return rng.choice(self.odd) + rng.choice(["", "", "", "_id", "_name", "_count"])
        return rng.choice(PARAMS) if rng.random() < 0.7 else rng.choice(NOUNS) + "_" + rng.choice(PARAMS)

    def string(self, rng, unseen=False):
        if unseen or (self.odd and rng.random() < 0.5):
            source = self.held_out if unseen else self.odd
            word = rng.choice(source)
            return rng.choice([word, word.capitalize(), word + str(rng.randint(1, 99)), word + " " + rng.choice(source)])
        return rng.choice(STRINGS) if rng.random() < 0.7 else f"{rng.choice(STRINGS)} {rng.choice(STRINGS)}"


WORDS = Words()


def value_of(kind, words, rng, unseen):
    if kind == "integer":
        return rng.choice([rng.randint(0, 20), rng.randint(0, 999), rng.randint(1000, 99999)])
    if kind == "number":
        return rng.choice([rng.randint(1, 100), round(rng.uniform(0, 100), rng.choice([1, 2]))])
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "array":
        return [words.string(rng, unseen) for _ in range(rng.randint(1, 3))]
    return words.string(rng, unseen)


def say(name, kind, value, rng):
    """How the user gives one value."""
    spoken = name.replace("_", " ") if rng.random() < 0.6 else name
    if kind == "array":
        text = ", ".join(value)
        return rng.choice([f"{spoken} {text}", f"with {spoken} {text}", f"{spoken}: {text}"])
    if kind == "boolean":
        text = "true" if value else "false"
        return rng.choice([f"{spoken} set to {text}", f"with {spoken} {text}", f"{spoken}={text}", f"{spoken} {text}"])
    text = rng.choice([str(value)] * 4 + [f'"{value}"' if kind == "string" else str(value)])
    return rng.choice([f"{spoken} {text}", f"with {spoken} {text}", f"{spoken}: {text}", f"using {text} as the {spoken}", f"the {spoken} is {text}", f"{spoken} = {text}",
                       f"{spoken} should be {text}", f"{spoken} set to {text}"])


def made_up(words, rng, unseen, avoid):
    """(tool, verb, noun, [(param, type)]) with a verb-noun pair unlike those in avoid."""
    while True:
        verb, noun = rng.choice(VERBS), words.noun(rng, unseen)
        if noun not in [n for _, n in avoid] or (verb not in [v for v, _ in avoid] and rng.random() < 0.5):
            break
    params, seen = [], set()
    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        name = words.param(rng, unseen)
        if name not in seen:
            seen.add(name)
            params.append((name, rng.choices(["string", "integer", "boolean", "number", "array"], [55, 22, 9, 7, 7])[0]))
    article = rng.choice(["a", "the", "a", "one"])
    description = rng.choice([f"{verb.capitalize()} {article} {noun}.", f"{verb.capitalize()}s {article} {noun}", f"Use this to {verb} {article} {noun}.",
                              f"{verb.capitalize()} {article} {noun} in the system", f"This tool can {verb} {article} {noun}."])
    described = [(n, k, rng.choice([None, f"The {n.replace('_', ' ')}", f"{n.replace('_', ' ').capitalize()} of the {noun}", f"The {n.replace('_', ' ')} to use"])) for n, k in params]
    required = [n for n, _ in params]
    if rng.random() < 0.3:
        rng.shuffle(required)
    made = tool(rng.choice(STYLES)(verb, noun), description, described, rng.choice([required, required, None]), rng)
    return made, verb, noun, params


RESULTS = ["ok", "done", "Success", '{"ok": true}', '{"status": "success"}', "completed", "true", "finished"]


def request_text(verb, noun, given, rng):
    article = rng.choice(["the", "a", "the", "my", "this", "our"])
    what = f"{verb} {article} {noun}"
    said = [say(n, k, v, rng) for n, k, v in given]
    listed = said[0] if len(said) == 1 else ", ".join(said[:-1]) + rng.choice([" and ", ", "]) + said[-1]
    form = rng.randrange(5)
    if form == 0:
        return f"{what}, {listed}."
    if form == 1:
        return f"{what}: {listed}"
    if form == 2:
        return f"I need to {what}. {listed[:1].upper() + listed[1:]}."
    if form == 3:
        return f"{what} ({listed})."
    return f"{what} {listed}."


def synthetic_dialogue(rng, words=None, unseen=False, n_tools=None):
    words = words or WORDS
    n = n_tools or rng.choice([1, 2, 3, 3, 3, 4])
    made, avoid = [], []
    for _ in range(n):
        one = made_up(words, rng, unseen, avoid)
        avoid.append((one[1], one[2]))
        made.append(one)
    chosen = rng.randrange(n)
    if n >= 2 and rng.random() < 0.35:
        # The same noun or the same verb in two tools: the other word decides.
        other = (chosen + 1) % n
        while True:
            twin = made_up(words, rng, unseen, [])
            if twin[1] != made[chosen][1] and twin[2] != made[chosen][2]:
                break
        verb, noun = (made[chosen][1], twin[2]) if rng.random() < 0.5 else (twin[1], made[chosen][2])
        name = rng.choice(STYLES)(verb, noun)
        twin[0]["function"]["name"] = name
        twin[0]["function"]["description"] = f"{verb.capitalize()} the {noun}."
        made[other] = (twin[0], verb, noun, twin[3])
    messages = maybe_system(rng, 0.3)
    rounds = 1 if unseen else rng.choice([1, 1, 2, 3, 4])
    for i in range(rounds):
        messages += synthetic_round(made[chosen], words, rng, unseen, finish=i + 1 < rounds or rng.random() < 0.25)
        chosen = rng.randrange(n)
    return messages, [m[0] for m in made]


def synthetic_round(one, words, rng, unseen, finish):
    """A request for one tool, the call, and when finish is set the result and the closing sentence."""
    target, verb, noun, params = one
    given = [(name, kind, value_of(kind, words, rng, unseen)) for name, kind in params]
    spoken = list(given)
    if rng.random() < 0.3:
        rng.shuffle(spoken)
    arguments = {name: (value if kind != "boolean" else ("true" if value else "false")) for name, kind, value in given}
    turns = [{"role": "user", "content": polish(rng.choice(OPENERS[:13]) + request_text(verb, noun, spoken, rng), rng)},
             assistant_call(target, arguments)]
    if finish:
        turns += [{"role": "tool", "content": rng.choice(RESULTS)},
                  {"role": "assistant", "content": f"Done. I called `{target['function']['name']}` to {verb} the {noun}."}]
    return turns


# ---- Tools of everyday life ----

CITIES = ["Paris", "London", "Berlin", "Tokyo", "Madrid", "Rome", "Beijing", "Shanghai", "New York", "San Francisco", "Sydney", "Oslo", "Vienna", "Cairo", "Toronto", "Boston",
          "Hangzhou", "Dublin", "Prague", "Athens", "Helsinki", "Zurich", "Chicago", "Seattle", "Mumbai", "Singapore"]
PEOPLE = ["Alice", "Bob", "Carol", "Dave", "Eve", "Grace", "Henry", "Maria", "Tom", "Anna", "Peter", "Laura"]
LANGUAGES = ["French", "German", "Spanish", "Italian", "Chinese", "Japanese", "Korean", "Dutch", "Polish"]
EVERYDAY = [
    (["get_weather", "weather", "get_current_weather", "fetch_weather", "current_weather"], "Get the current weather for a city.", [(["city", "location", "place"], "string", CITIES)],
     ["what's the weather in {0}?", "how is the weather in {0}?", "weather in {0}", "is it raining in {0}?", "tell me the weather in {0}", "what is the weather like in {0} today?",
      "do I need an umbrella in {0}?", "how warm is it in {0}?"], "It is {r} in {0}.", ["sunny, 22 degrees", "cloudy, 15 degrees", "raining", "snowing", "windy"]),
    (["get_time", "current_time", "get_current_time", "time_in"], "Get the current time in a city.", [(["city", "location", "timezone"], "string", CITIES)],
     ["what time is it in {0}?", "current time in {0}", "tell me the time in {0}", "how late is it in {0}?"], "The time in {0} is {r}.", ["10:30", "18:05", "23:47", "07:12"]),
    (["send_email", "email", "send_mail"], "Send an email to a person.", [(["to", "recipient", "address"], "string", PEOPLE), (["subject", "title", "topic"], "string",
      ["Lunch", "Meeting", "Report", "Holiday", "Invoice", "Project plan", "Birthday"])],
     ["send an email to {0} about {1}", "email {0} with the subject {1}", "write a mail to {0}, subject {1}", "send {0} an email with the subject {1}"], "The email to {0} has been sent.", ["sent"]),
    (["translate", "translate_text", "translator"], "Translate a text into another language.", [(["text", "sentence", "content"], "string",
      ["good morning", "thank you", "where is the station", "hello world", "see you tomorrow", "I like coffee"]), (["language", "target_language", "to"], "string", LANGUAGES)],
     ["translate \"{0}\" to {1}", "how do you say \"{0}\" in {1}?", "translate '{0}' into {1}", "what is \"{0}\" in {1}?"], "The translation into {1} is: {r}", ["bonjour", "danke", "hola"]),
    (["calculate", "calculator", "evaluate", "math"], "Evaluate an arithmetic expression.", [(["expression", "formula", "input"], "string",
      ["2 + 2", "12 * 7", "100 / 4", "3 ** 5", "17 - 9", "45 * 12", "8 + 13", "999 * 3", "1024 / 16"])],
     ["what is {0}?", "calculate {0}", "compute {0}", "how much is {0}?", "evaluate {0}"], "The result is {r}.", ["4", "84", "25", "243", "8"]),
    (["search_web", "web_search", "search", "google"], "Search the web.", [(["query", "q", "search_term"], "string",
      ["python tutorial", "best pizza recipe", "latest news", "history of tea", "how to fix a bike", "cheap flights", "open source licences", "mountain hiking"])],
     ["search the web for {0}", "look up {0}", "google {0}", "find information about {0}", "search for {0} online"], "I found this about {0}: {r}", ["several pages", "a good article"]),
    (["get_stock_price", "stock_price", "get_quote"], "Get the price of a stock.", [(["symbol", "ticker", "stock"], "string", ["AAPL", "GOOG", "MSFT", "TSLA", "AMZN", "BABA", "NVDA", "IBM"])],
     ["what is the stock price of {0}?", "how much is {0} stock?", "get the price of {0}", "stock price {0}", "quote for {0}"], "{0} is at {r}.", ["182.50", "97.10", "412.00"]),
    (["set_reminder", "add_reminder", "create_reminder", "remind"], "Create a reminder.", [(["text", "message", "title"], "string",
      ["call mom", "buy milk", "water the plants", "pay the rent", "book a table", "feed the cat"]), (["time", "when", "at"], "string", ["8:00", "17:30", "tomorrow", "noon", "Friday", "9 pm"])],
     ["remind me to {0} at {1}", "set a reminder to {0}, {1}", "reminder: {0}, time {1}", "please remind me to {0} ({1})"], "I will remind you to {0}.", ["ok"]),
    (["convert_currency", "currency_converter", "exchange"], "Convert an amount of money between currencies.", [(["amount", "value"], "number", [10, 50, 100, 250, 1000, 75, 20]),
      (["from_currency", "from", "source"], "string", ["USD", "EUR", "GBP", "JPY", "CNY"]), (["to_currency", "to", "target"], "string", ["CHF", "SEK", "INR", "KRW", "CAD"])],
     ["convert {0} {1} to {2}", "how much is {0} {1} in {2}?", "change {0} {1} into {2}", "{0} {1} in {2}"], "{0} {1} are {r} {2}.", ["91.5", "108.2", "755"]),
    (["book_flight", "reserve_flight", "flight_booking"], "Book a flight between two cities.", [(["from_city", "origin", "departure"], "string", CITIES[:13]),
      (["to_city", "destination", "arrival"], "string", CITIES[13:])],
     ["book a flight from {0} to {1}", "I want to fly from {0} to {1}", "get me a flight from {0} to {1}", "reserve a flight {0} to {1}"], "Your flight from {0} to {1} is booked.", ["booked"]),
    (["play_music", "play_song", "music_player"], "Play a song or an artist.", [(["song", "title", "query"], "string", ["Yesterday", "Bohemian Rhapsody", "Imagine", "Hey Jude", "jazz", "Mozart"])],
     ["play {0}", "play the song {0}", "I want to hear {0}", "put on {0}"], "Now playing {0}.", ["playing"]),
    (["get_user", "find_user", "lookup_user", "user_info"], "Look up a user by id.", [(["user_id", "id", "uid"], "integer", [1, 7, 42, 123, 999, 1001, 5, 88])],
     ["who is user {0}?", "look up user {0}", "get the user with id {0}", "show user {0}", "find the user number {0}"], "User {0} is {r}.", PEOPLE),
]


def everyday_tool(entry, rng):
    names, description, params, _, _, _ = entry
    chosen = [(rng.choice(p[0]), p[1]) for p in params]
    properties = [(n, k, rng.choice([None, f"The {n.replace('_', ' ')}"])) for n, k in chosen]
    return tool(rng.choice(names), description, properties, [n for n, _ in chosen], rng), [n for n, _ in chosen]


def everyday_dialogue(rng):
    entries = rng.sample(EVERYDAY, rng.randint(1, 4))
    offered = [everyday_tool(e, rng) for e in entries]
    messages = maybe_system(rng, 0.3)
    rounds = rng.choice([1, 1, 2, 3])
    for i in range(rounds):
        which = rng.randrange(len(entries))
        entry, (target, names) = entries[which], offered[which]
        values = [rng.choice(p[2]) for p in entry[2]]
        ask = rng.choice(entry[3]).format(*values)
        messages += [{"role": "user", "content": polish(rng.choice(OPENERS[:6] + ["Hi, ", "Hello! "]) + ask, rng)}, assistant_call(target, dict(zip(names, values)))]
        if i + 1 < rounds or rng.random() < 0.3:
            result = rng.choice(entry[5])
            messages += [{"role": "tool", "content": rng.choice([result, json.dumps({"result": result})])},
                         {"role": "assistant", "content": entry[4].format(*values, r=result)}]
    return messages, [t for t, _ in offered]
