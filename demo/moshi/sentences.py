"""English beyond the grammar of the dialogues, for the codec to hear and for the tokenizer to find letters in."""

SENTENCES = tuple(
    """
the last bus to the airport leaves at half past nine
please leave your luggage beside the yellow door
she bought two tickets and a small cup of coffee
a quick brown fox jumps over the lazy dog
the weather in the mountains changes every hour
my brother works at the harbour with five other men
can you tell me which floor the office is on
we waited an hour because the engine would not start
the museum closes early on sunday afternoon
there is a large clock above the main entrance
his voice was calm although the news was bad
take the second street on the left and then go straight
the children found a box of old letters under the stairs
i would like a window seat near the front
the river was frozen and nobody could cross the bridge
they sell fresh bread and cheese next to the church
could you repeat the number more slowly
the doctor gave her some medicine for the cough
every evening he plays the piano for an hour
our flight was cancelled so we took the night train
the judge asked a question that nobody could answer
six zebras and a giraffe stood in the shade
put the blue jacket over the back of the chair
the price of sugar went up again this month
a thousand people watched the ship leave the port
do not forget to lock the door when you go out
the teacher wrote the date in the corner of the board
her uncle owns a farm with horses and sheep
it was raining so hard that the game was stopped
this bridge was built by the same engineer
turn down the volume before you put on the headphones
the village has one school and three small shops
he could not remember where he had parked the car
the soup needs more salt and a little pepper
we will meet in front of the library at four
the young officer opened the heavy iron gate
strange noises came from the room above us
you should visit the castle while you are here
the company hired eleven people in april
a pale moon rose behind the black trees
both boys laughed when the puppy stole the shoe
measure the width of the shelf before you order it
the visitors enjoyed the view from the tower
please sign your name at the bottom of the page
our neighbour grows roses and very good apples
the judge, the clerk and the witness all stood up
fifty dollars is too much for such a thin book
the path is steep but the view is worth it
which of these pictures do you like best
nobody knew why the alarm had gone off
the baker gets up at three every morning
thank you for waiting, the manager will see you now
i am sorry, the hotel is full this weekend
good afternoon, how may i help you today
yes of course, i will send it to you tomorrow
no, that is not the one that i was looking for
okay, let us try it again from the beginning
hello, is anybody there
the young queen gave a short speech about peace
vanilla ice and warm plums make a fine dessert
each of the joints was oiled and checked twice
he threw the rope across and pulled the boat closer
the yellow house at the end of the beach is ours
our guide spoke four languages without any accent
a cloud of dust hung over the dry valley
she chose the path through the woods
my shoes got wet when we crossed the ditch
the girl with the violin practises on the roof
this jar holds exactly half a gallon
the fire crew reached the house just in time
""".strip().splitlines()
)
