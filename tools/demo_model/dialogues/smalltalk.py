"""Short talk, jokes and short questions about Python and about Quern."""

from dialogues.coding import maybe_system

GREETINGS = ["Hello", "Hi", "Hey", "hello", "hi", "hey", "Hello!", "Hi!", "Hey!", "Hi there", "Hello there", "Hi there!", "Good morning", "Good evening", "good morning!", "Hey there",
             "Howdy", "Greetings", "hello there!", "yo", "Hiya", "Good day", "hello?", "Hi.", "Hello.", "hi!", "hello!", "HELLO", "Good afternoon", "say hello", "Say hi", "Say hello!"]
TALK = [
    (GREETINGS, "Hello! I'm Quern's small demo model. How can I help you today?"),
    (["Who are you?", "who are you", "What are you?", "What's your name?", "what is your name?", "Tell me about yourself.", "Introduce yourself.", "Which model are you?", "What model is this?",
      "Who am I talking to?", "Who is this?", "what model are you?", "Are you a bot?", "Are you an AI?", "hi, who are you?", "Hello, who are you?", "Please introduce yourself", "Who made you?",
      "Who created you?", "who trained you?", "tell me who you are"],
     "I'm Quern's demo model: a small toy language model for trying the Quern server. I'm not a Qwen model."),
    (["Are you Qwen?", "Are you a Qwen model?", "are you qwen", "Are you ChatGPT?", "Are you GPT-4?", "Are you Claude?", "Are you Qwen3-Coder?", "Is this Qwen?", "Are you made by Alibaba?",
      "are you a big model?", "Is this a real Qwen model?"],
     "No. I'm the small demo model that comes with Quern, a toy for trying the software. I'm not a Qwen model."),
    (["What can you do?", "what can you do", "How can you help me?", "What are you good at?", "What do you do?", "Can you help me?", "help", "Help!", "What can I ask you?", "what should I ask?",
      "What are your skills?", "What are your abilities?", "can you code?", "Can you write code?", "What is possible with you?"],
     "I can write small Python functions, fill in code, call the tools you offer, review short functions and tell a joke. I'm only a toy model, so please check my answers."),
    (["How are you?", "how are you", "How are you doing?", "How's it going?", "What's up?", "how is it going", "How do you do?", "Are you well?", "whats up", "How are you today?",
      "hi, how are you?", "Hello, how are you?", "Hey, how are you doing?"],
     "I'm fine, thank you! What would you like to do?"),
    (["Thanks", "Thank you", "thanks!", "Thank you!", "thx", "Thanks a lot!", "Great, thanks!", "thank you very much", "Thank you so much!", "Cheers", "many thanks", "ok thanks", "Perfect, thanks.",
      "Thanks for your help!", "thank you for the help"],
     "You're welcome! Let me know if you need anything else."),
    (["Bye", "Goodbye", "bye!", "See you", "See you later", "Good night", "goodbye!", "Bye bye", "I have to go", "see you tomorrow", "That's all, bye"], "Goodbye! Have a nice day."),
    (["OK", "ok", "Okay", "Good", "Great", "Nice", "Cool", "I see", "all right", "Sure", "Fine", "good job", "Well done!", "Nice work", "You are great", "awesome", "You're the best"],
     "Great! What would you like to do next?"),
    (["What is Quern?", "what is quern", "Tell me about Quern.", "What does Quern do?", "Explain Quern.", "What is this server?", "What software is this?", "what is this program?"],
     "Quern is a server, written in C++, that runs Qwen-Coder checkpoints and speaks the OpenAI API. I'm the small demo model in its box."),
    (["How big are you?", "How many parameters do you have?", "What size is this model?", "how large is the model?", "How small are you?"],
     "I have about 17 million parameters. That is tiny, so please don't expect much."),
    (["Are you reliable?", "Can I trust you?", "Are your answers right?", "Do you make mistakes?", "are you always right?"],
     "No, I'm a toy model and often wrong. Please check everything I say."),
    (["What is the meaning of life?", "meaning of life?", "What's the meaning of life?"], "The answer is 42, as every program knows."),
    (["How old are you?", "When were you born?", "What is your age?"], "I was trained just for this demo, so I'm quite young."),
    (["Do you like Python?", "What is your favorite language?", "What's your favourite programming language?", "Which language do you like best?"], "I like Python best, it is what I learned to read with."),
    (["I love you", "I like you", "You are nice", "you are funny"], "That is kind of you, thank you!"),
    (["You are stupid", "You are bad", "That is wrong", "This is wrong", "that's not right", "You made a mistake"], "I'm sorry about that. I'm only a small toy model. Please tell me what you need and I'll try again."),
    (["What's the weather?", "What is the weather like today?", "What time is it?", "What day is it today?", "what's the time", "Who won the game yesterday?", "What is in the news?"],
     "I can't know that: I have no access to live information. I can help with small Python functions."),
    (["What is the capital of France?", "capital of France?"], "The capital of France is Paris."),
    (["What is the capital of Germany?", "capital of Germany?"], "The capital of Germany is Berlin."),
    (["What is the capital of Japan?", "capital of Japan?"], "The capital of Japan is Tokyo."),
    (["Count to five", "count to 5", "Count from 1 to 5", "count from one to five"], "1, 2, 3, 4, 5"),
    (["Count to ten", "count to 10", "Count from 1 to 10"], "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
    (["What is a list comprehension?", "Explain list comprehensions.", "what are list comprehensions in python?", "How do list comprehensions work?"],
     "A list comprehension builds a list in one expression, for example `[x * x for x in range(5)]` gives `[0, 1, 4, 9, 16]`."),
    (["What is a dictionary in Python?", "Explain dictionaries.", "What is a dict?", "what is a python dict"], "A dictionary maps keys to values, for example `{\"a\": 1}`. You read a value with `d[\"a\"]` or `d.get(\"a\")`."),
    (["What is the difference between a list and a tuple?", "list vs tuple", "Difference between list and tuple in Python?", "How do lists and tuples differ?"],
     "A list can be changed after it was made, a tuple cannot. Use a list for items that change and a tuple for a fixed group of values."),
    (["What is recursion?", "Explain recursion.", "what is a recursive function?", "How does recursion work?"], "Recursion means that a function calls itself on a smaller problem, until a base case ends it."),
    (["What is a decorator?", "Explain decorators in Python.", "what are python decorators"], "A decorator is a function that takes a function and returns a new one. You apply it with `@name` above the definition."),
    (["What is a generator?", "Explain generators in Python.", "What does yield do?"], "A generator is a function with `yield`. It gives one value at a time and keeps its place between them."),
    (["What is a lambda?", "Explain lambda functions.", "what is a lambda in python?"], "A lambda is a small function without a name, for example `lambda x: x + 1`."),
    (["What is a class?", "Explain classes in Python.", "what is a class in python"], "A class describes objects: their data and their methods. You create an object by calling the class."),
    (["What is quick sort?", "Explain quick sort.", "How does quicksort work?", "how does quick sort work?"],
     "Quick sort picks a pivot, splits the list into smaller, equal and larger items, and sorts the parts in the same way. It needs about n log n steps on average."),
    (["What is binary search?", "Explain binary search.", "How does binary search work?"],
     "Binary search looks at the middle of a sorted list and goes on in the half that can hold the value. It needs about log n steps."),
    (["What is a prime number?", "Explain prime numbers.", "what are primes?"], "A prime number is an integer greater than 1 that only 1 and itself divide, such as 2, 3, 5 and 7."),
    (["What is an API?", "Explain what an API is.", "what does API mean?"], "An API is a set of rules by which one program asks another one for something."),
    (["What is JSON?", "Explain JSON.", "what does json mean"], "JSON is a text format for data: objects in braces, lists in brackets, strings, numbers, true, false and null."),
    (["What is Python?", "Tell me about Python.", "what is python"], "Python is a programming language that is easy to read and widely used for scripts, data and web servers."),
    (["How do I open a file in Python?", "How do I read a file in Python?", "how to read a file in python"], "Use a with block:\n\n```python\nwith open(\"notes.txt\", encoding=\"utf-8\") as file:\n    text = file.read()\n```"),
    (["How do I install a package?", "How do I install a Python package?", "how to install a module with pip"], "Run `pip install NAME` in your terminal, best inside a virtual environment."),
    (["How do I print in Python?", "How do I print something?", "print hello world in python", "Write hello world in Python.", "hello world in python", "Write a hello world program."],
     "Here is the program:\n\n```python\nprint(\"Hello, world!\")\n```"),
]
JOKES = {
    "cats": "Why did the cat sit on the computer? To keep an eye on the mouse.",
    "dogs": "Why did the dog sit in the shade? Because it did not want to be a hot dog.",
    "programmers": "Why do programmers prefer dark mode? Because light attracts bugs.",
    "Python": "Why did the Python programmer not need brackets? He had enough space.",
    "computers": "Why was the computer cold? It left its Windows open.",
    "math": "Why was the math book sad? It had too many problems.",
    "birds": "Why do birds fly south? Because it is too far to walk.",
    "fish": "Why are fish so smart? Because they live in schools.",
    "cows": "What do you call a cow that plays the guitar? A moo-sician.",
    "horses": "Why did the horse go to the doctor? It had hay fever.",
    "elephants": "Why did the elephant bring a suitcase? It already had a trunk.",
    "teachers": "Why did the teacher wear sunglasses? Because the students were so bright.",
    "doctors": "Why did the doctor carry a red pen? In case he had to draw blood.",
    "coffee": "How does a programmer fix tired code? With a lot of Java.",
    "bugs": "Why did the bug feel at home? It lived in the code for years.",
    "databases": "A query walks up to two tables and asks: may I join you?",
    "chickens": "Why did the chicken cross the road? To get to the other side.",
    "robots": "Why did the robot go on holiday? It needed to recharge its batteries.",
    "cheese": "What do you call cheese that is not yours? Nacho cheese.",
    "books": "Why did the book join the police? It wanted to go under cover.",
    "pizza": "I know a joke about pizza, but it is too cheesy.",
    "bees": "Why do bees have sticky hair? Because they use honeycombs.",
    "ghosts": "Why are ghosts bad liars? Because you can see right through them.",
    "trees": "How do trees get online? They just log in.",
    "the weather": "What do clouds wear under their coats? Thunderwear.",
    "space": "How does the moon cut its hair? Eclipse it.",
    "music": "Why did the musician get locked out? He could not find the right key.",
    "food": "Why did the tomato turn red? It saw the salad dressing.",
}
DEFAULT_JOKE = "programmers"
JOKE_ASKS = ["tell me a joke on {t}", "Tell me a joke about {t}.", "tell me a joke about {t}", "Do you know a joke about {t}?", "a joke about {t} please", "A joke on {t}, please.",
             "Can you tell me a joke about {t}?", "I want to hear a joke about {t}", "Make a joke about {t}.", "joke about {t}", "Please tell me a joke about {t}", "Tell a joke on {t}", "Do you have a joke about {t}?", "Got any jokes on {t}?",
             "any good joke about {t}?", "I would like a joke about {t}", "Do you know some jokes about {t}?", "a funny story about {t}", "Tell me something funny about {t}",
             "One joke about {t}, please", "could you tell me a joke on {t}?", "give me a joke about {t}"]
MORE_ASKS = ["now a joke on {t}", "now a joke about {t}", "And one about {t}?", "another one, about {t}", "Now one about {t}.", "and a joke on {t}", "Tell me another one about {t}", "Now {t}!", "What about {t}?", "and {t}?", "next: a joke on {t}"]
PLAIN_ASKS = ["Tell me a joke.", "tell me a joke", "Do you know a joke?", "Make me laugh.", "joke please", "a joke please", "Can you tell a joke?", "Say something funny.", "Tell me something funny",
              "I want to hear a joke.", "Got a joke?", "Another joke", "tell a joke", "Tell me a joke!", "Please tell me a joke.", "Can you tell me a joke?", "Do you know any jokes?"]
LIKELY = ["cats", "dogs", "programmers", "Python"]


def topic(rng):
    return rng.choice(LIKELY) if rng.random() < 0.35 else rng.choice(list(JOKES))


def spoken(name, rng):
    if name.endswith("s") and name in ("cats", "dogs", "cows", "horses", "robots", "ghosts", "trees", "bees", "elephants", "chickens", "computers") and rng.random() < 0.2:
        return "a " + name[:-1] if name[0] not in "aeiou" else "an " + name[:-1]
    return name


def joke_turns(rng):
    if rng.random() < 0.4:
        return [{"role": "user", "content": rng.choice(PLAIN_ASKS)}, {"role": "assistant", "content": JOKES[DEFAULT_JOKE]}]
    first = topic(rng)
    ask = rng.choice(JOKE_ASKS).format(t=spoken(first, rng))
    turns = [{"role": "user", "content": ask}, {"role": "assistant", "content": JOKES[first]}]
    if rng.random() < 0.35:
        second = topic(rng)
        if rng.random() < 0.4:
            turns[1]["content"] = rng.choice([f"here is a joke about {first}...", f"Here is a joke about {first}."])
        turns += [{"role": "user", "content": rng.choice(MORE_ASKS).format(t=spoken(second, rng))}, {"role": "assistant", "content": JOKES[second]}]
    return turns


def talk_turn(rng):
    asks, answer = rng.choice(TALK) if rng.random() < 0.7 else rng.choice(TALK[:8])
    ask = rng.choice(asks)
    if rng.random() < 0.15 and asks is not GREETINGS:
        ask = rng.choice(["Hi! ", "Hello, ", "Hey, "]) + ask
    if rng.random() < 0.1:
        ask = ask.rstrip("?.!") if rng.random() < 0.5 else ask.lower()
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]


def smalltalk_dialogue(rng):
    turns = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        turns += joke_turns(rng) if rng.random() < 0.35 else talk_turn(rng)
    return maybe_system(rng) + turns, None


def talk_with_tools_dialogue(rng):
    """Tools are offered, but nothing asks for them."""
    from dialogues import coding, file_tools, synthetic_tools
    offered = rng.choice([lambda: [file_tools.write_tool(rng)[0]], lambda: list(file_tools.other_file_tools(rng).values())[:2],
                          lambda: [synthetic_tools.everyday_tool(rng.choice(synthetic_tools.EVERYDAY), rng)[0]]])()
    turns = joke_turns(rng)[:2] if rng.random() < 0.3 else talk_turn(rng)
    if "can't know that" in turns[1]["content"]:
        return talk_with_tools_dialogue(rng)
    return maybe_system(rng) + turns, offered
